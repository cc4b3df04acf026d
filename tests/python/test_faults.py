"""An API that fails in every way: the log call neither raises nor waits, and each record counts."""

from __future__ import annotations

import functools
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import pytest

from log_aggregator_handler.testing import LogApi
from reliability.answers import SPOILS, SpoilingProxy
from reliability.puppet import identity as expect_identity

RECORDS = 200

FAULTS: dict[str, Callable[[LogApi], None]] = {
    "refuses": lambda api: api.stop(),
    "hangs": lambda api: api.hang(),
    "resets": lambda api: api.reset(),
    "garbage": lambda api: api.send_garbage(),
    **{
        str(status): functools.partial(LogApi.respond, status=status)
        for status in (300, 307, 400, 401, 403, 404, 408, 413, 415, 422, 429, 500, 502, 503, 504)
    },
    "200 with garbage": lambda api: api.respond(200, body=b"\x00\xff{"),
    "400 naming a bad index": lambda api: api.respond(400, body={"errors": [{"index": 10**9}]}),
    "429 for 10^9 seconds": lambda api: api.respond(429, headers={"Retry-After": "1000000000"}),
    "503 with a wrong date": lambda api: api.respond(503, headers={"Retry-After": "NaN"}),
    "health says 500": lambda api: setattr(api, "health_status", 500),
    "health is garbage": lambda api: setattr(api, "health", {"batch": {"max_records": -5}}),
    "health is a list": lambda api: setattr(api, "health", [1, [2]]),
}


def identity(stats):
    return stats["delivered"] + stats["pending"] + sum(stats["dropped"].values())


@pytest.mark.parametrize("fault", FAULTS)
def test_whatever_the_api_does_the_call_returns_at_once_and_every_record_is_accounted_for(
    log_api, make_handler, logger, fault, capfd
):
    FAULTS[fault](log_api)
    handler = make_handler(retry_attempts=1, timeout=1.0, close_timeout=3)
    logger.addHandler(handler)
    slowest = 0.0
    for i in range(RECORDS):
        start = time.monotonic()
        logger.info("record %d", i)
        slowest = max(slowest, time.monotonic() - start)
    assert slowest < 0.7
    assert identity(handler.stats()) == handler.stats()["accepted"] == RECORDS
    handler.flush(timeout=1)
    assert identity(handler.stats()) == RECORDS
    start = time.monotonic()
    handler.close()
    assert time.monotonic() - start < 4
    stats = handler.stats()
    assert identity(stats) == stats["accepted"]
    # Where this took longer than flush() waited, and the last request was a health check that was
    # answered well, the close has told the API of drops, by a record of the handler's own.
    assert stats["accepted"] - RECORDS in (0, 1)
    assert stats["pending"] == 0
    assert stats["delivered"] == len(log_api.records)
    if stats["delivered"] < RECORDS:
        assert "dropped" in capfd.readouterr().err


@pytest.mark.parametrize("fault", ["refuses", "hangs", "resets", "garbage", "429", "500", "503"])
def test_records_outlive_a_fault_that_the_retries_cover(log_api, make_handler, logger, fault):
    handler = make_handler(retry_attempts=12, retry_delay=0.02, timeout=0.3, close_timeout=20)
    logger.addHandler(handler)
    logger.info("before")
    assert handler.flush()
    if fault.isdigit():
        log_api.respond(int(fault), times=3)
    else:
        FAULTS[fault](log_api)
    for i in range(100):
        logger.info("%d", i)
    assert not handler.flush(timeout=0.2) or fault.isdigit()
    if fault == "refuses":
        log_api.start()
    if not fault.isdigit():
        log_api.recover()
    assert handler.flush()
    messages = [record["message"] for record in log_api.records]
    assert messages == ["before", *[str(i) for i in range(100)]]
    assert handler.stats()["delivered"] == 101


def test_emit_returns_while_the_request_is_blocked(log_api, make_handler, logger):
    log_api.hang()
    logger.addHandler(make_handler(timeout=30, close_timeout=0.1))
    logger.info("first")
    done = threading.Event()

    def log_many():
        for i in range(10_000):
            logger.info("while the request hangs %d", i)
        done.set()

    threading.Thread(target=log_many, daemon=True).start()
    assert done.wait(20)
    assert not log_api.records


@pytest.mark.parametrize("named", [True, False])
def test_one_poisoned_record_of_a_batch_is_dropped_and_the_rest_delivered(
    log_api, make_handler, logger, named, capsys
):
    log_api.refuse(lambda record: record["message"] == "250", named=named)
    handler = make_handler(flush_interval=60)
    logger.addHandler(handler)
    for i in range(500):
        logger.info("%d", i)
    assert not handler.flush()
    expected = [str(i) for i in range(500) if i != 250]
    assert [record["message"] for record in log_api.records] == expected
    stats = handler.stats()
    assert (stats["delivered"], stats["dropped"]["refused"]) == (499, 1)
    assert "1 record dropped (refused)" in capsys.readouterr().err


def test_413_splits_the_batch(log_api, make_handler, logger):
    handler = make_handler(flush_interval=60)
    log_api.respond(413, times=3)
    logger.addHandler(handler)
    for i in range(100):
        logger.info("%d", i)
    assert handler.flush()
    assert [record["message"] for record in log_api.records] == [str(i) for i in range(100)]
    assert len(log_api.posts) > 4


def test_retry_after_is_honoured(log_api, make_handler, logger):
    handler = make_handler(retry_attempts=1)
    log_api.respond(429, headers={"Retry-After": "1"}, times=1)
    logger.addHandler(handler)
    start = time.monotonic()
    logger.info("x")
    assert handler.flush()
    assert time.monotonic() - start >= 1


def test_an_unreachable_api_is_not_one_that_says_nothing(log_api, make_handler, logger):
    log_api.stop()
    handler = make_handler(retry_attempts=20, retry_delay=0.02)
    logger.addHandler(handler)
    for i in range(50):
        logger.info("%d", i)
    handler.flush(timeout=0.1)
    log_api.start()
    assert handler.flush()
    assert len(log_api.posts) < 50  # batches: what the API takes was asked when it came back


def test_health_is_asked_again_after_a_reconnect(log_api, make_handler, logger):
    handler = make_handler(retry_attempts=20, retry_delay=0.02)
    logger.addHandler(handler)
    logger.info("a")
    assert handler.flush()
    log_api.stop()
    log_api.health["batch"]["max_records"] = 2
    log_api.start()
    logger.info("this shows that the connection is a new one")
    assert handler.flush()
    for i in range(10):
        logger.info("%d", i)
    assert handler.flush()
    assert [len(post.records) for post in log_api.posts[-5:]] == [2] * 5


@pytest.mark.parametrize("status", [413, 415])
def test_health_is_asked_again_after_413_and_415(log_api, make_handler, logger, status):
    handler = make_handler()
    logger.addHandler(handler)
    logger.info("a")
    assert handler.flush()
    log_api.respond(status, times=1)
    logger.info("b")
    handler.flush()
    logger.info("c")
    handler.flush()
    assert [request.method for request in log_api.requests].count("GET") >= 2


@pytest.mark.parametrize(
    ("break_it", "healthy"),
    [
        (lambda api: None, True),
        (lambda api: setattr(api, "health_status", 204), True),
        (lambda api: setattr(api, "health_status", 301), False),
        (lambda api: setattr(api, "health_status", 404), False),
        (lambda api: setattr(api, "health_status", 500), False),
        (lambda api: api.stop(), False),
        (lambda api: api.hang(), False),
        (lambda api: api.reset(), False),
        (lambda api: api.send_garbage(), False),
    ],
)
def test_check_connection_is_true_for_2xx_only_and_never_raises(
    log_api, make_handler, break_it, healthy
):
    break_it(log_api)
    handler = make_handler(timeout=0.3)
    assert handler.check_connection() is healthy


def test_flush_is_false_if_anything_logged_before_was_dropped(log_api, make_handler, logger):
    handler = make_handler()
    logger.addHandler(handler)
    log_api.respond(400, times=1)
    logger.info("refused")
    assert handler.flush() is False


def test_flush_without_records_is_true_and_opens_no_connection(log_api, make_handler):
    assert make_handler().flush() is True
    assert log_api.requests == []


# ---- what the API has stored, and the handler does not know it


@pytest.mark.parametrize("with_spool", [True, False], ids=["spool", "memory"])
@pytest.mark.parametrize("spoil", SPOILS)
def test_after_a_spoilt_answer_records_are_sent_again_and_stored_once(
    collector, make_handler, logger, tmp_path, spoil, with_spool
):
    options = {"spool_dir": tmp_path / "spool"} if with_spool else {}
    with SpoilingProxy(collector.port, SPOILS[spoil], times=3) as proxy:
        handler = make_handler(
            proxy.endpoint, timeout=0.4, retry_attempts=100, flush_interval=60, **options
        )
        logger.addHandler(handler)
        for i in range(300):
            logger.info("%d", i)
        assert handler.flush(30), handler.stats()
        handler.close()
    stored = [int(record["message"]) for record in collector.records()]
    twice = len(stored) - len(set(stored))
    expect_identity(spoil, handler.stats(), stored=len(set(stored)), twice=twice)
    assert stored == list(range(300))
    assert proxy.spoilt == 3
    assert handler.stats()["retries"] >= 1  # libcurl itself sends again on a connection of old


# ---- names


@pytest.fixture
def in_a_world_whose_resolver_never_answers(tmp_path):
    """The words before a command that runs it there."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("a resolver that never answers: only root can put one in place, by unshare")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silence:
        try:
            silence.bind(("127.53.53.53", 53))
        except OSError as error:
            pytest.skip(f"a resolver that never answers: {error}")
        configuration = tmp_path / "resolv.conf"
        configuration.write_text("nameserver 127.53.53.53\noptions timeout:30 attempts:1\n")
        place = f"mount --bind {configuration} $(readlink -f /etc/resolv.conf)"
        words = ["unshare", "--mount", "sh", "-c", f'{place} && exec "$@"', "sh"]
        if subprocess.run([*words, "true"], capture_output=True, check=False).returncode != 0:
            pytest.skip("a resolver that never answers: no mount namespaces here")
        yield words


def test_a_resolver_that_hangs_holds_up_neither_log_calls_nor_the_end(
    in_a_world_whose_resolver_never_answers,
):
    program = """
import logging, sys, time
from log_aggregator_handler import LogAggregatorHandler
handler = LogAggregatorHandler(
    "http://logs.example.org/api/logs", timeout=0.5, close_timeout=1.0, retry_attempts=0)
logger = logging.Logger("app")
logger.addHandler(handler)
slowest = 0.0
for i in range(1000):
    start = time.monotonic()
    logger.info("%d", i)
    slowest = max(slowest, time.monotonic() - start)
start = time.monotonic()
handler.close()
print(slowest, time.monotonic() - start, sum(handler.stats()["dropped"].values()))
"""
    began = time.monotonic()
    done = subprocess.run(
        [*in_a_world_whose_resolver_never_answers, sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    took = time.monotonic() - began
    assert done.returncode == 0, done.stderr
    slowest, closing, dropped = map(float, done.stdout.split())
    assert slowest < 0.7
    assert closing < 1.0 + 2
    assert dropped == 1000
    assert took < 15  # half of what the resolver waits
