"""Against the real collector: every record stored once, in order, also across an outage."""

from __future__ import annotations

import logging
import threading
import time

import pytest

from log_aggregator_handler import LogAggregatorHandler

THREADS = 8
RECORDS = 100_000


def log_from_threads(logger, count, pause=0.0):
    each = count // THREADS

    def work(thread):
        for i in range(each):
            logger.info("%d %d", thread, i, extra={"thread_number": thread, "n": i})
            if pause and i % 100 == 0:
                time.sleep(pause)

    threads = [threading.Thread(target=work, args=(t,), name=f"worker-{t}") for t in range(THREADS)]
    for thread in threads:
        thread.start()
    return threads


def assert_all_stored_in_order_and_once(records, count):
    assert len(records) == count
    numbers: list[list[int]] = [[] for _ in range(THREADS)]
    for record in records:
        assert record["threadName"] == f"worker-{record['extra']['thread_number']}"
        numbers[record["extra"]["thread_number"]].append(record["extra"]["n"])
    assert numbers == [list(range(count // THREADS))] * THREADS


@pytest.fixture
def logger():
    return logging.Logger("stress", logging.DEBUG)


@pytest.fixture
def make_handler(collector):
    handlers = []

    def make(**options):
        handler = LogAggregatorHandler(collector.endpoint, **{"close_timeout": 60.0, **options})
        handlers.append(handler)
        return handler

    yield make
    for handler in handlers:
        handler.close()


def test_a_record_is_stored_with_all_its_fields(collector, make_handler, logger):
    handler = make_handler(host="h1", fields={"service": "shop"})
    logger.addHandler(handler)
    assert handler.check_connection()
    try:
        raise ValueError("boom")
    except ValueError:
        logger.exception("it failed: %s", "é😀", extra={"user": {"id": 5}}, stack_info=True)
    assert handler.flush()
    [stored] = collector.records()
    record = logging.LogRecord("stress", 40, __file__, 1, "it failed: é😀", (), None)
    expected = handler.format_record(record)
    for name in ("host", "service", "message", "level", "logger_name", "host_process", "process",
                 "thread", "threadName", "module", "filename"):  # fmt: skip
        assert stored[name] == expected[name]
    assert stored["extra"] == {"user": {"id": 5}}
    assert "ValueError: boom" in stored["exception"]
    assert stored["stack"].startswith("Stack")
    assert stored["funcName"] == "test_a_record_is_stored_with_all_its_fields"
    assert stored["timestamp"].endswith("+00:00")


def test_hostile_values_are_stored(collector, make_handler, logger):
    handler = make_handler()
    logger.addHandler(handler)
    values = [
        float("nan"),
        "\ud800",
        "\0",
        2**70,
        {1: 1, "1": 2},
        b"\xff",
        [[[]]],
        object(),
        "\x1b",
    ]
    for value in values:
        logger.info("%r", value, extra={"value": value})
    assert handler.flush(), handler.stats()
    assert len(collector.records()) == len(values)


def test_100000_records_from_8_threads_are_stored_in_order_and_once(
    collector, make_handler, logger
):
    handler = make_handler(queue_bytes=256 << 20)
    logger.addHandler(handler)
    for thread in log_from_threads(logger, RECORDS):
        thread.join()
    assert handler.flush(), handler.stats()
    assert handler.stats()["delivered"] == RECORDS
    assert_all_stored_in_order_and_once(collector.records(), RECORDS)


def test_100000_records_survive_an_outage_of_5_seconds(collector, make_handler, logger):
    handler = make_handler(queue_bytes=256 << 20, retry_attempts=8, retry_delay=0.1)
    logger.addHandler(handler)
    threads = log_from_threads(logger, RECORDS, pause=0.01)
    collector.wait_for_records(1000, limit=1000)
    collector.kill()
    outage = time.monotonic()
    for thread in threads:
        thread.join()
    while time.monotonic() - outage < 5:
        time.sleep(0.05)
    collector.start()
    assert handler.flush(), handler.stats()
    stats = handler.stats()
    assert stats["delivered"] == RECORDS
    assert stats["retries"] >= 1
    assert_all_stored_in_order_and_once(collector.records(), RECORDS)


def test_credentials_reach_the_collector(start_collector, tmp_path, logger, capfd):
    token = tmp_path / "token"
    token.write_text("canary-token\n")
    token.chmod(0o600)
    collector = start_collector("--token-file", str(token))
    for auth in (("user", "canary-token"), {"Authorization": "Bearer canary-token"}):
        handler = LogAggregatorHandler(collector.endpoint, auth=auth)
        logger.handlers = [handler]
        assert handler.check_connection()
        logger.info("x")
        assert handler.flush()
        handler.close()
    wrong = LogAggregatorHandler(collector.endpoint, auth=("user", "wrong-token"))
    logger.handlers = [wrong]
    assert not wrong.check_connection()
    logger.info("x")
    assert not wrong.flush()
    assert wrong.stats()["dropped"]["unauthorized"] == 1
    wrong.close()
    error = capfd.readouterr().err
    assert "401" in error
    assert "wrong-token" not in error
    assert "canary-token" not in error
