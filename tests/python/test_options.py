"""Every option: its place, its effect, and what is refused at construction."""

from __future__ import annotations

import contextlib
import inspect
import json
import logging
import math
import pathlib
import socket
import threading
import time
import warnings

import pytest

from log_aggregator_handler import LogAggregatorHandler
from log_aggregator_handler.testing import LogApi

ENDPOINT = "http://127.0.0.1:9/api/logs"


def test_the_eight_documented_options_are_positional_with_their_defaults():
    parameters = list(inspect.signature(LogAggregatorHandler).parameters.values())
    documented = [(p.name, p.default) for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert documented == [
        ("api_endpoint", None),
        ("host", None),
        ("auth", None),
        ("timeout", 5.0),
        ("retry_attempts", 3),
        ("retry_delay", 1.0),
        ("verify_ssl", True),
        ("level_map", None),
    ]


def test_all_other_options_are_keyword_only_with_their_defaults():
    parameters = inspect.signature(LogAggregatorHandler).parameters.values()
    assert {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY} == {
        "batch_size": None,
        "batch_bytes": 1 << 20,
        "flush_interval": 0.2,
        "spool_dir": None,
        "spool_max_bytes": 1 << 30,
        "segment_bytes": 1 << 20,
        "durability": "process",
        "sync_interval": 1.0,
        "crash_handler": False,
        "queue_bytes": 64 << 20,
        "overflow": "drop_newest",
        "block_timeout": 1.0,
        "background": True,
        "compression": "auto",
        "fields": None,
        "fallback_logger": None,
        "close_timeout": 5.0,
        "ca_file": None,
        "client_cert": None,
        "client_key": None,
        "proxy": None,
        "max_record_bytes": 1 << 20,
        "auth_ttl": 300.0,
    }


def test_all_eight_work_by_position(log_api, logger):
    handler = LogAggregatorHandler(
        log_api.endpoint, "h1", ("u", "p"), 2.0, 1, 0.01, True, {"INFO": "i"}
    )
    logger.addHandler(handler)
    logger.info("x")
    assert handler.flush()
    handler.close()
    [record] = log_api.records
    assert (record["host"], record["level"]) == ("h1", "i")
    assert log_api.posts[0].headers["Authorization"].startswith("Basic ")


# ---- what is refused


@pytest.mark.parametrize(
    ("option", "value", "error"),
    [
        *[
            (name, value, ValueError)
            for name in ("timeout", "retry_delay", "flush_interval", "block_timeout",
                         "close_timeout", "auth_ttl", "sync_interval")
            for value in (-1, -0.001, math.nan, math.inf, -math.inf)
        ],
        *[
            (name, value, TypeError)
            for name in ("timeout", "retry_delay", "flush_interval", "block_timeout",
                         "close_timeout", "auth_ttl", "sync_interval")
            for value in ("5", None, [1], True, 1j)
        ],
        ("timeout", 0, ValueError),
        ("auth_ttl", 0, ValueError),
        *[(name, -1, ValueError)
          for name in ("retry_attempts", "batch_size", "batch_bytes", "queue_bytes",
                       "max_record_bytes")],
        *[(name, value, TypeError)
          for name in ("retry_attempts", "batch_size", "batch_bytes", "queue_bytes",
                       "max_record_bytes")
          for value in ("5", 5.0, True, [5])],
        ("batch_size", 0, ValueError),
        ("batch_bytes", 0, ValueError),
        ("queue_bytes", 65_535, ValueError),
        ("max_record_bytes", 1023, ValueError),
        *[(name, value, error)
          for name in ("spool_max_bytes", "segment_bytes")
          for value, error in ((-1, ValueError), (0, ValueError), (2**70, ValueError),
                               ("5", TypeError), (5.0, TypeError), (True, TypeError),
                               (None, TypeError))],
        ("spool_dir", 5, TypeError),
        ("spool_dir", b"/tmp", TypeError),
        ("spool_dir", "a\nb", ValueError),
        ("spool_dir", "a\0b", ValueError),
        ("durability", "disk", ValueError),
        ("durability", None, ValueError),
        ("crash_handler", True, ValueError),  # without spool_dir
        ("batch_size", 2**70, ValueError),
        *[(name, value, TypeError)
          for name in ("verify_ssl", "background", "crash_handler")
          for value in (1, 0, None, "yes")],
        ("overflow", "drop", ValueError),
        ("overflow", None, ValueError),
        ("compression", "brotli", ValueError),
        ("compression", "none", ValueError),
        ("compression", 1, ValueError),
        ("host", 5, TypeError),
        ("host", b"h", TypeError),
        ("host", "a\nb", ValueError),
        ("host", "a\rb", ValueError),
        ("host", "a\0b", ValueError),
        ("fields", [("a", 1)], TypeError),
        ("fields", {1: "a"}, TypeError),
        ("fields", {"message": "a"}, ValueError),
        ("fields", {"level": "a"}, ValueError),
        ("fallback_logger", 5, TypeError),
        ("fallback_logger", ["x"], TypeError),
        ("ca_file", 5, TypeError),
        ("ca_file", "/does/not/exist", ValueError),
        ("ca_file", "a\0b", ValueError),
        ("client_cert", "/does/not/exist", ValueError),
        ("client_key", "/does/not/exist", ValueError),
        ("proxy", 5, TypeError),
        ("proxy", "http://a b/", ValueError),
        ("proxy", "http://a\r\nb/", ValueError),
    ],
)  # fmt: skip
def test_a_wrong_option_is_refused_at_construction_and_named(option, value, error):
    with pytest.raises(error, match=option):
        LogAggregatorHandler(ENDPOINT, **{option: value})


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("spool_max_bytes", (1 << 20) - 1),
        ("segment_bytes", (1 << 16) - 1),
        ("segment_bytes", (64 << 20) + 1),
    ],
)
def test_a_size_of_the_spool_that_is_out_of_range_is_refused(tmp_path, option, value):
    with pytest.raises(ValueError, match=option):
        LogAggregatorHandler(ENDPOINT, spool_dir=tmp_path / "spool", **{option: value})


def test_an_unknown_option_is_a_type_error():
    with pytest.raises(TypeError, match="batch_sice"):
        LogAggregatorHandler(ENDPOINT, batch_sice=5)


# ---- what they do


def test_host_is_in_every_record_and_defaults_to_the_host_name(shipped):
    [record] = shipped(lambda log: log.info("x"), host="my-custom-hostname")
    assert record["host"] == "my-custom-hostname"
    [record] = shipped(lambda log: log.info("x"))
    assert record["host"] == socket.gethostname()


def test_timeout_is_the_total_of_one_request(log_api, make_handler, logger):
    handler = make_handler(timeout=0.2, retry_attempts=0)
    log_api.hang()
    logger.addHandler(handler)
    start = time.monotonic()
    logger.info("x")
    assert not handler.flush()
    assert 0.2 <= time.monotonic() - start < 3
    assert handler.stats()["dropped"]["retries_exhausted"] == 1


@pytest.mark.parametrize("attempts", [0, 1, 3])
def test_retry_attempts_counts_the_tries_after_the_first(log_api, make_handler, logger, attempts):
    handler = make_handler(retry_attempts=attempts)
    log_api.respond(500)
    logger.addHandler(handler)
    logger.info("x")
    assert not handler.flush()
    assert len(log_api.posts) == attempts + 1
    assert handler.stats()["retries"] == attempts


def test_a_record_is_delivered_if_the_last_retry_succeeds(log_api, make_handler, logger):
    handler = make_handler(retry_attempts=3)
    log_api.respond(500, times=3)
    logger.addHandler(handler)
    logger.info("x")
    assert handler.flush()
    assert len(log_api.records) == 1


def test_retry_delay_is_the_least_wait_and_doubles(log_api, make_handler, logger):
    handler = make_handler(retry_attempts=2, retry_delay=0.1)
    log_api.respond(500)
    logger.addHandler(handler)
    start = time.monotonic()
    logger.info("x")
    assert not handler.flush()
    assert 0.1 + 0.2 <= time.monotonic() - start < 2.5


def test_verify_ssl_off_warns_once_and_on_does_not():
    with pytest.warns(UserWarning, match="verify_ssl=False") as caught:
        LogAggregatorHandler(ENDPOINT, verify_ssl=False)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        LogAggregatorHandler(ENDPOINT)


def test_batch_size_bounds_the_records_of_a_request(log_api, make_handler, logger):
    handler = make_handler(batch_size=3, flush_interval=60)
    logger.addHandler(handler)
    for i in range(7):
        logger.info("%d", i)
    log_api.wait_for(6)
    assert handler.flush()
    assert [len(post.records) for post in log_api.posts] == [3, 3, 1]


def test_without_batch_size_the_health_answer_decides(log_api, make_handler, logger):
    log_api.health["batch"]["max_records"] = 2
    handler = make_handler(flush_interval=60)
    logger.addHandler(handler)
    for i in range(4):
        logger.info("%d", i)
    assert handler.flush()
    assert [len(post.records) for post in log_api.posts] == [2, 2]


def test_an_api_that_says_nothing_gets_one_plain_object_for_each_post(
    log_api, make_handler, logger
):
    log_api.say_nothing()
    handler = make_handler()
    logger.addHandler(handler)
    for i in range(3):
        logger.info("%d", i)
    assert handler.flush()
    assert [json.loads(post.body)["message"] for post in log_api.posts] == ["0", "1", "2"]
    assert all(post.headers["Content-Encoding"] is None for post in log_api.posts)
    assert all(post.headers["Content-Type"] == "application/json" for post in log_api.posts)


def test_batch_size_with_formats_unknown_sends_an_array(log_api, make_handler, logger):
    log_api.say_nothing()
    handler = make_handler(batch_size=10)
    logger.addHandler(handler)
    for i in range(3):
        logger.info("%d", i)
    assert handler.flush()
    assert [record["message"] for record in json.loads(log_api.posts[0].body)] == ["0", "1", "2"]


def test_batch_bytes_bounds_the_body_of_a_request(log_api, make_handler, logger):
    handler = make_handler(batch_bytes=10_000, compression=None, flush_interval=60)
    logger.addHandler(handler)
    for _ in range(30):
        logger.info("x" * 1000)
    assert handler.flush()
    assert len(log_api.records) == 30
    assert len(log_api.posts) >= 4
    assert all(len(post.body) <= 10_100 for post in log_api.posts)


def test_flush_interval_is_how_long_a_record_waits_for_others(log_api, make_handler, logger):
    waiting = make_handler(flush_interval=0.3)
    logger.addHandler(waiting)
    start = time.monotonic()
    logger.info("first")
    logger.info("second")
    log_api.wait_for(2)
    assert time.monotonic() - start >= 0.29
    assert len(log_api.posts) == 1


def test_flush_interval_zero_waits_for_nobody(log_api, make_handler, logger):
    logger.addHandler(make_handler(flush_interval=0))
    logger.info("alone")
    log_api.wait_for(1)


@pytest.mark.parametrize(
    ("overflow", "cause"), [("drop_newest", "queue_full"), ("drop_oldest", "evicted")]
)
def test_queue_bytes_bounds_the_queue_and_overflow_says_who_goes(
    log_api, make_handler, logger, overflow, cause
):
    log_api.hang()
    handler = make_handler(queue_bytes=1 << 16, overflow=overflow)
    logger.addHandler(handler)
    for i in range(500):
        logger.info("%d %s", i, "x" * 500)
    stats = handler.stats()
    assert stats["pending_bytes"] <= 1 << 16
    assert stats["dropped"][cause] > 300
    assert stats["accepted"] == 500 == stats["pending"] + stats["dropped"][cause]
    log_api.recover()
    handler.flush()
    arrived = {int(record["message"].split()[0]) for record in log_api.records}
    assert (499 in arrived) == (overflow == "drop_oldest")


@pytest.mark.parametrize("kind", [str, pathlib.Path])
def test_spool_dir_is_made_and_holds_what_waits(log_api, make_handler, logger, tmp_path, kind):
    log_api.hang()
    logger.addHandler(make_handler(spool_dir=kind(tmp_path / "spool")))
    logger.info("to be found in a file")
    [journal] = (tmp_path / "spool").iterdir()
    files = [path.read_bytes() for path in journal.glob("*.segment")]
    assert b"to be found in a file" in b"".join(files)
    log_api.recover()


def test_spool_max_bytes_takes_the_place_of_queue_bytes(log_api, make_handler, logger, tmp_path):
    log_api.hang()
    handler = make_handler(
        spool_dir=tmp_path / "spool", spool_max_bytes=1 << 20, queue_bytes=64 << 20
    )
    logger.addHandler(handler)
    for _ in range(3000):
        logger.info("x" * 500)
    stats = handler.stats()
    assert 900_000 < stats["pending_bytes"] <= 1 << 20
    assert stats["dropped"]["queue_full"] == 3000 - stats["pending"]
    log_api.recover()


@pytest.mark.parametrize("segment_bytes", [1 << 16, 1 << 18])
def test_segment_bytes_is_the_size_of_a_file(
    log_api, make_handler, logger, tmp_path, segment_bytes
):
    log_api.hang()
    logger.addHandler(make_handler(spool_dir=tmp_path / "spool", segment_bytes=segment_bytes))
    for _ in range(1000):
        logger.info("x" * 500)
    deadline = time.monotonic() + 20
    while file_sizes(tmp_path / "spool") != {segment_bytes} and time.monotonic() < deadline:
        time.sleep(0.01)
    assert file_sizes(tmp_path / "spool") == {segment_bytes}
    log_api.recover()


def file_sizes(spool):
    """Of the segments, which the worker may be making or renaming meanwhile."""
    sizes = set()
    for path in spool.rglob("*.segment"):
        with contextlib.suppress(FileNotFoundError):
            sizes.add(path.stat().st_size)
    return sizes


def test_durability_power_syncs_every_sync_interval(log_api, make_handler, logger, tmp_path):
    log_api.hang()
    handlers = {
        durability: make_handler(
            spool_dir=tmp_path / durability, durability=durability, sync_interval=0.05
        )
        for durability in ("power", "process")
    }
    logger.handlers = list(handlers.values())
    for _ in range(100):
        logger.info("x")
    deadline = time.monotonic() + 20
    while handlers["power"].stats()["durable"] < 100 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert handlers["power"].stats()["durable"] == 100
    assert handlers["process"].stats()["durable"] == 0
    log_api.recover()


def test_sync_interval_is_how_long_a_record_may_wait_for_its_sync(
    log_api, make_handler, logger, tmp_path
):
    log_api.hang()
    handler = make_handler(spool_dir=tmp_path / "spool", durability="power", sync_interval=3600)
    logger.addHandler(handler)
    logger.info("the first is synced at once")
    deadline = time.monotonic() + 20
    while handler.stats()["durable"] < 1 and time.monotonic() < deadline:
        time.sleep(0.01)
    logger.info("the second is not")
    handler.flush(timeout=0.3)
    assert handler.stats()["durable"] == 1
    log_api.recover()


def test_a_flood_of_debug_leaves_room_for_errors(log_api, make_handler, logger):
    log_api.hang()
    handler = make_handler(queue_bytes=1 << 17)
    logger.addHandler(handler)
    for _ in range(1000):
        logger.debug("x" * 300)
    logger.error("this must arrive")
    log_api.recover()
    handler.flush()
    assert log_api.records[-1]["message"] == "this must arrive"


def test_overflow_block_waits_for_room_without_the_interpreter_lock(log_api, make_handler, logger):
    log_api.hang()
    handler = make_handler(queue_bytes=1 << 16, overflow="block", block_timeout=60, timeout=60)
    logger.addHandler(handler)
    blocked = threading.Thread(target=lambda: [logger.info("x" * 500) for _ in range(300)])
    blocked.start()
    log_api.wait_for_requests(0)
    time.sleep(0.1)
    assert blocked.is_alive()
    log_api.recover()
    blocked.join(30)
    assert not blocked.is_alive()
    assert handler.flush()
    assert len(log_api.records) == 300


def test_block_timeout_ends_the_wait_for_room(log_api, make_handler, logger):
    log_api.hang()
    handler = make_handler(queue_bytes=1 << 16, overflow="block", block_timeout=0.1)
    logger.addHandler(handler)
    waits = []
    while handler.stats()["dropped"]["block_timeout"] < 3:
        start = time.monotonic()
        logger.info("x" * 2000)
        waits.append(time.monotonic() - start)
    assert all(0.1 <= wait < 0.9 for wait in waits[-3:])


def test_background_off_returns_after_the_verdict(log_api, make_handler, logger):
    handler = make_handler(background=False)
    logger.addHandler(handler)
    for i in range(3):
        logger.info("%d", i)
        assert len(log_api.records) == i + 1
    log_api.respond(400)
    logger.info("refused")
    assert handler.stats()["dropped"]["refused"] == 1


def test_background_off_reports_before_the_call_returns(log_api, make_handler, logger, capsys):
    handler = make_handler(background=False)
    logger.addHandler(handler)
    log_api.respond(422)
    logger.info("refused")
    assert "422" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("compression", "encodings", "expected"),
    [
        ("auto", ["gzip"], "gzip"),
        ("auto", [], None),
        ("gzip", [], "gzip"),
        (None, ["zstd", "gzip"], None),
        ("auto", ["zstd", "gzip"], "zstd"),
        ("zstd", [], "zstd"),
    ],
)
def test_compression_is_what_the_api_takes_or_what_was_chosen(
    log_api, make_handler, logger, compression, encodings, expected
):
    log_api.health["encodings"] = encodings
    handler = make_handler(compression=compression, flush_interval=60, retry_attempts=0)
    logger.addHandler(handler)
    for _ in range(100):
        logger.info("x" * 100)
    handler.flush()
    assert log_api.posts[0].headers["Content-Encoding"] == expected
    if expected:
        assert log_api.posts[0].wire_bytes < 5_000


def test_fields_are_in_every_record(shipped):
    fields = {"service": "shop", "replica": 3, "tags": ["a", {"b": None}], "at": pathlib.Path("/x")}
    records = shipped(lambda log: [log.info("a"), log.info("b")], fields=fields)
    for record in records:
        assert {name: record[name] for name in fields} == {**fields, "at": "/x"}


@pytest.mark.parametrize("make", [lambda name: name, logging.getLogger])
def test_fallback_logger_is_a_logger_or_its_name(log_api, make_handler, logger, caplog, make):
    handler = make_handler(fallback_logger=make("fallback"))
    log_api.respond(400)
    logger.addHandler(handler)
    logger.info("x")
    handler.flush()
    handler.close()
    assert [(r.name, r.levelname) for r in caplog.records] == [("fallback", "ERROR")]
    assert "400" in caplog.text


def test_close_timeout_bounds_close_and_flush(log_api, make_handler, logger):
    handler = make_handler(close_timeout=0.3, timeout=30)
    log_api.hang()
    logger.addHandler(handler)
    logger.info("x")
    start = time.monotonic()
    assert not handler.flush()
    assert 0.29 <= time.monotonic() - start < 3
    handler.close()
    assert time.monotonic() - start < 3
    assert handler.stats()["dropped"]["closed"] == 1


def test_max_record_bytes_cuts_longer_records(log_api, make_handler, logger):
    handler = make_handler(max_record_bytes=2048, compression=None)
    logger.addHandler(handler)
    logger.info("m" * 10_000, extra={"user": "ada"})
    assert handler.flush()
    [record] = log_api.records
    assert record["message"].startswith("mmm")
    assert record["message"].endswith("[cut]")
    assert record["extra"] == {"user": "ada"}
    assert len(log_api.posts[0].body) <= 2049


def test_proxy_takes_the_requests(log_api, make_handler, logger):
    handler = make_handler("http://nowhere.invalid/api/logs", proxy=log_api.endpoint)
    logger.addHandler(handler)
    logger.info("x")
    assert handler.flush()
    assert log_api.posts[0].path == "http://nowhere.invalid/api/logs"


def test_without_proxy_the_environment_says(log_api, make_handler, logger, monkeypatch):
    monkeypatch.setenv("http_proxy", log_api.endpoint)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    handler = make_handler("http://nowhere.invalid/api/logs")
    logger.addHandler(handler)
    logger.info("x")
    assert handler.flush()


def test_a_redirect_is_not_followed(log_api, make_handler, logger):
    with LogApi() as trap:
        log_api.respond(307, headers={"Location": trap.endpoint})
        handler = make_handler(auth=("user", "pass"))
        logger.addHandler(handler)
        logger.info("x")
        assert not handler.flush()
        assert trap.requests == []
