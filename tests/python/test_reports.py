"""Errors: retried, then reported once for each cause with status and body, masked, and counted."""

from __future__ import annotations

import logging
import sys
import threading

import pytest

from log_aggregator_handler import LogAggregatorHandler


@pytest.fixture
def lines():
    """The lines that a handler's fallback logger got."""
    got = []

    class Collect(logging.Handler):
        def emit(self, record):
            got.append(record.getMessage())

    logger = logging.getLogger("test_reports.fallback")
    logger.propagate = False
    logger.handlers = [Collect()]
    return got


@pytest.fixture
def fail(make_handler, logger, lines):
    """Logs a record that is not delivered; returns the handler."""

    def log(message="a message", handler=None, **extra):
        handler = handler or make_handler(
            fallback_logger="test_reports.fallback", retry_attempts=0, compression=None
        )
        logger.handlers = [handler]
        logger.info(message, extra=extra)
        assert not handler.flush()
        return handler

    return log


def test_a_refused_record_is_reported_with_status_and_body(log_api, fail, lines):
    log_api.respond(400, body="timestamp is missing")
    handler = fail()
    [line] = lines
    assert "1 record dropped" in line
    assert "400" in line
    assert "timestamp is missing" in line
    assert "a message" not in line
    assert handler.stats()["dropped"]["refused"] == 1
    assert "400" in handler.stats()["last_error"]


def test_a_failed_network_is_reported_after_the_retries(log_api, make_handler, logger, lines):
    handler = make_handler(fallback_logger="test_reports.fallback", retry_attempts=2)
    log_api.stop()
    logger.addHandler(handler)
    logger.info("x")
    assert not handler.flush()
    [line] = lines
    assert "retries_exhausted" in line
    assert "onnect" in line
    assert handler.stats()["dropped"]["retries_exhausted"] == 1


def test_without_a_fallback_logger_reports_go_to_sys_stderr(log_api, make_handler, logger, capsys):
    log_api.respond(403, body="go away")
    logger.addHandler(handler := make_handler())
    logger.info("x")
    handler.flush()
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert error.endswith("\n")
    assert "403" in error
    assert "go away" in error


def test_sys_stderr_is_looked_up_when_it_is_needed(
    log_api, make_handler, logger, monkeypatch, tmp_path
):
    log_api.respond(400)
    logger.addHandler(handler := make_handler())
    with (tmp_path / "stderr").open("w") as file:
        monkeypatch.setattr(sys, "stderr", file)
        logger.info("x")
        handler.flush()
    assert "400" in (tmp_path / "stderr").read_text()


class Broken:
    def write(self, text):
        raise OSError("full")

    def flush(self):
        raise OSError("full")


@pytest.mark.parametrize("stderr", [None, Broken()])
def test_a_missing_or_broken_stderr_does_no_harm(
    log_api, make_handler, logger, monkeypatch, stderr
):
    monkeypatch.setattr(sys, "stderr", stderr)
    log_api.respond(400, times=1)
    logger.addHandler(handler := make_handler())
    logger.info("refused")
    assert not handler.flush()
    logger.info("delivered")
    log_api.wait_for(1)


def test_a_fallback_logger_that_raises_does_no_harm(log_api, make_handler, logger, monkeypatch):
    class Raising(logging.Handler):
        def emit(self, record):
            raise RuntimeError

    fallback = logging.Logger("raising")
    fallback.addHandler(Raising())
    log_api.respond(400, times=1)
    logger.addHandler(handler := make_handler(fallback_logger=fallback))
    logger.info("refused")
    assert not handler.flush()
    logger.info("delivered")
    log_api.wait_for(1)


def test_a_fallback_logger_with_the_same_handler_does_not_loop(log_api, make_handler, logger):
    log_api.respond(400, times=1)
    handler = make_handler(fallback_logger=logger)
    logger.addHandler(handler)
    logger.info("refused")
    handler.flush()
    logger.info("delivered")
    handler.flush()
    assert [record["message"] for record in log_api.records] == ["delivered"]
    # The report of the refused record, and the report that this was dropped.
    assert 1 <= handler.stats()["dropped"]["reentrant"] <= 2


def test_the_body_is_cut_to_200_characters(log_api, fail, lines):
    log_api.respond(400, body="é" * 1000)
    fail()
    assert 100 <= lines[0].count("é") <= 200


def test_control_characters_of_the_body_are_escaped(log_api, fail, lines):
    log_api.respond(400, body="first\r\nsecond\x1b[31mred\0\u202e\x9b")
    fail()
    [line] = lines
    assert not any(ord(c) < 32 or c in "\u202e\x9b\x7f" for c in line)
    assert "first" in line
    assert "red" in line


@pytest.mark.parametrize(
    "secret_at",
    ["message", "extra", "nested", "list"],
)
def test_what_the_server_repeats_of_the_records_is_masked(log_api, fail, lines, secret_at):
    secret = "canary-4711-secret"
    log_api.respond(400, body=f"cannot take {secret} here")
    if secret_at == "message":
        fail(secret)
    elif secret_at == "extra":
        fail(password=secret)
    elif secret_at == "nested":
        fail(form={"user": {"password": secret}})
    else:
        fail(items=["harmless", secret])
    assert "cannot take" in lines[0]
    assert "canary" not in lines[0]


def test_secrets_of_every_record_of_the_batch_are_masked(log_api, make_handler, logger, lines):
    log_api.respond(404, body="one: canary-one! two: canary-two!")
    handler = make_handler(fallback_logger="test_reports.fallback", flush_interval=60)
    logger.addHandler(handler)
    logger.info("canary-one!")
    logger.info("canary-two!")
    assert not handler.flush()
    assert "one:" in lines[0]
    assert "canary" not in lines[0]


def test_what_is_short_is_not_masked(log_api, fail, lines):
    log_api.respond(400, body="field level: bad value")
    fail("level")
    assert "field level: bad value" in lines[0]


@pytest.mark.parametrize(
    "auth",
    [
        ("canary-user", "canary-pass"),
        {"Authorization": "Bearer canary-token"},
        lambda: {"X-Api-Key": "canary-key"},
    ],
)
def test_credentials_that_the_server_repeats_are_masked(log_api, make_handler, fail, lines, auth):
    handler = make_handler(fallback_logger="test_reports.fallback", auth=auth)
    echoed = "Bearer canary-token, canary-token, canary-user, canary-pass, canary-key"
    log_api.respond(400, body=f"you sent {echoed}")
    fail(handler=handler)
    assert "you sent" in lines[0]
    if callable(auth):
        assert "canary-key" not in lines[0]
    elif isinstance(auth, dict):
        assert "canary-token" not in lines[0]
    else:
        assert "canary-pass" not in lines[0]
    assert "canary" not in repr(handler)


def test_one_line_for_each_cause_in_30_seconds_with_the_rest_counted(
    log_api, make_handler, logger, lines
):
    handler = make_handler(fallback_logger="test_reports.fallback", retry_attempts=0)
    logger.addHandler(handler)
    log_api.respond(400, body="first")
    for _ in range(50):
        logger.info("x")
        handler.flush()
    log_api.recover()
    log_api.respond(503)
    for _ in range(50):
        logger.info("x")
        handler.flush()
    assert len(lines) == 2
    handler.close()
    assert len(lines) == 3
    assert "98 records" in lines[2]
    assert handler.stats()["dropped"]["refused"] == 50
    assert handler.stats()["dropped"]["retries_exhausted"] == 50


def test_an_api_error_does_not_stop_later_records(log_api, make_handler, logger):
    logger.addHandler(handler := make_handler())
    log_api.respond(400, times=1)
    logger.info("refused")
    handler.flush()
    logger.info("delivered")
    handler.flush()
    assert [record["message"] for record in log_api.records] == ["delivered"]


def test_reports_of_handlers_that_nobody_waits_for_come_too(log_api, make_handler, logger):
    reported = threading.Event()

    class Seen(logging.Handler):
        def emit(self, record):
            reported.set()

    fallback = logging.Logger("seen")
    fallback.addHandler(Seen())
    log_api.respond(400)
    logger.addHandler(make_handler(fallback_logger=fallback))
    logger.info("x")
    assert reported.wait(10)


def test_handle_error_is_not_called_for_the_network(log_api, make_handler, logger):
    called = []

    class Watching(LogAggregatorHandler):
        def handleError(self, record):
            called.append(record)

    handler = make_handler(kind=Watching, retry_attempts=0, fallback_logger=logging.Logger("x"))
    log_api.stop()
    logger.addHandler(handler)
    logger.info("x")
    handler.flush()
    assert not called
