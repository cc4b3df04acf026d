"""The handler as an object: counts, closing, threads, reentrancy, garbage collection, forks."""

from __future__ import annotations

import gc
import logging
import os
import re
import threading
import time
import weakref

import pytest

import log_aggregator_handler
from log_aggregator_handler import LogAggregatorHandler
from log_aggregator_handler.testing import LogApi
from python.both_ways import IGNORES_REENTRY


def threads():
    return set(os.listdir("/proc/self/task"))


def test_it_is_a_logging_handler_and_the_package_says_its_version():
    assert issubclass(LogAggregatorHandler, logging.Handler)
    assert re.fullmatch(r"\d+\.\d+\.\d+", log_aggregator_handler.__version__)


def test_making_a_handler_starts_no_thread_and_opens_no_connection(log_api):
    before = threads()
    handler = LogAggregatorHandler(log_api.endpoint)
    assert threads() == before
    assert handler.flush()
    handler.close()
    assert threads() == before
    assert not log_api.requests


def test_importing_and_making_a_handler_leaves_no_thread_file_or_socket_open(run_python, tmp_path):
    done = run_python(
        """
import logging, os, sys
def held():
    files = sorted(os.readlink(f"/dev/fd/{fd}") for fd in os.listdir("/dev/fd") if int(fd) < 100
                   and os.path.exists(f"/dev/fd/{fd}"))
    return files, os.listdir("/proc/self/task")
before = held()
from log_aggregator_handler import LogAggregatorHandler, accelerate
accelerate()
handler = LogAggregatorHandler("https://127.0.0.1:1/api/logs", spool_dir=sys.argv[1] + "/spool")
assert held() == before, (before, held())
""",
        str(tmp_path),
    )
    assert done.returncode == 0, done.stderr


def test_the_thread_ends_with_the_handler(log_api, make_handler, logger):
    handler = make_handler()
    logger.addHandler(handler)
    before = threads()
    logger.info("x")
    assert len(threads() - before) >= 1
    assert handler.flush()
    handler.close()
    deadline = time.monotonic() + 10
    while len(os.listdir("/proc/self/task")) > len(before) + 1 and time.monotonic() < deadline:
        time.sleep(0.01)  # the API's threads end too, in their own time
    assert handler.stats()["pending"] == 0


def test_stats_count_records_and_requests(log_api, make_handler, logger):
    handler = make_handler(flush_interval=60)
    assert handler.stats() == {
        "accepted": 0,
        "delivered": 0,
        "dropped": dict.fromkeys(
            ["queue_full", "evicted", "block_timeout", "retries_exhausted", "refused",
             "unauthorized", "too_large", "closed", "reentrant", "out_of_memory", "damaged"], 0
        ),
        "dropped_by_level": dict.fromkeys(["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"], 0),
        "pending": 0,
        "pending_bytes": 0,
        "durable": 0,
        "adopted_delivered": 0,
        "adopted_dropped": 0,
        "retries": 0,
        "batches": 0,
        "bytes_sent": 0,
        "last_error": None,
        "paths": {"fast": 0, "record_built": 0, "fallback": 0},
    }  # fmt: skip
    logger.addHandler(handler)
    for _ in range(3):
        logger.info("x")
    stats = handler.stats()
    assert (stats["accepted"], stats["pending"]) == (3, 3)
    assert stats["pending_bytes"] > 3 * 200
    log_api.respond(500, times=1)
    assert handler.flush()
    stats = handler.stats()
    assert (stats["delivered"], stats["pending"], stats["pending_bytes"]) == (3, 0, 0)
    assert (stats["batches"], stats["retries"]) == (1, 1)
    assert stats["bytes_sent"] == sum(post.wire_bytes for post in log_api.posts)
    assert "500" in stats["last_error"]
    assert stats["paths"] == {"fast": 0, "record_built": 0, "fallback": 3}


def test_repr_shows_kind_endpoint_and_level(make_handler):
    handler = make_handler("http://127.0.0.1:9/api/logs")
    handler.setLevel(logging.ERROR)
    assert repr(handler) == "<LogAggregatorHandler http://127.0.0.1:9/api/logs (ERROR)>"


def test_close_delivers_what_is_left(log_api, make_handler, logger):
    handler = make_handler(flush_interval=60)
    logger.addHandler(handler)
    logger.info("x")
    handler.close()
    assert len(log_api.records) == 1


def test_flush_and_close_may_be_called_any_number_of_times(log_api, make_handler, logger):
    handler = make_handler()
    logger.addHandler(handler)
    logger.info("x")
    for _ in range(3):
        assert handler.flush()
        handler.close()
    assert handler.flush()


def test_a_record_after_close_is_dropped_and_counted(log_api, make_handler, logger):
    handler = make_handler()
    logger.addHandler(handler)
    handler.close()
    logger.info("too late")
    assert handler.stats()["dropped"]["closed"] == 1
    assert not handler.flush()
    assert not log_api.records


def test_close_takes_the_handler_out_of_loggings_list(make_handler):
    handler = make_handler()
    handler.set_name("ours")
    assert any(reference() is handler for reference in logging._handlerList)
    assert logging._handlers["ours"] is handler
    handler.close()
    assert "ours" not in logging._handlers


@pytest.mark.parametrize("timeout", [0, 0.001, 1, None, float("inf"), float("nan"), -5, 10**300])
def test_flush_takes_any_timeout(log_api, make_handler, logger, timeout):
    handler = make_handler()
    assert handler.flush(timeout)
    logger.addHandler(handler)
    logger.info("x")
    handler.flush(timeout)
    assert handler.flush()


def test_flush_lets_other_threads_run_and_returns_at_its_timeout(log_api, make_handler, logger):
    log_api.hang()
    handler = make_handler(timeout=30, close_timeout=0.1)
    logger.addHandler(handler)
    logger.info("x")
    ticks = []
    stop = threading.Event()

    def tick():
        while not stop.is_set():
            ticks.append(time.monotonic())
            time.sleep(0.001)

    thread = threading.Thread(target=tick)
    thread.start()
    start = time.monotonic()
    assert handler.flush(0.3) is False
    elapsed = time.monotonic() - start
    stop.set()
    thread.join()
    assert 0.3 <= elapsed < 2
    assert len(ticks) > 20


def test_the_lock_of_logging_handler_is_not_needed(make_handler):
    handler = make_handler()
    assert handler.lock is None
    handler.acquire()
    handler.release()
    handler._at_fork_reinit()


def test_logging_shutdown_may_come_at_any_time(log_api, make_handler, logger):
    handler = make_handler(flush_interval=60)
    logger.addHandler(handler)
    logger.info("x")
    logging.shutdown([weakref.ref(handler)])
    logging.shutdown([weakref.ref(handler)])
    assert len(log_api.records) == 1


# ---- reentrancy


def test_an_argument_whose_str_logs_is_delivered_with_its_own_record(shipped, logger):
    class Chatty:
        def __str__(self):
            logger.info("inner")
            return "chatty"

    records = shipped(lambda log: log.info("outer %s", Chatty()))
    inner = [] if IGNORES_REENTRY else ["inner"]
    assert [record["message"] for record in records] == [*inner, "outer chatty"]


def test_an_extra_whose_repr_logs_is_delivered_with_its_own_record(shipped, logger):
    class Chatty:
        def __repr__(self):
            logger.info("inner", extra={"deep": [1, 2]})
            return "chatty"

    records = shipped(lambda log: log.info("outer", extra={"x": [0, Chatty(), 3]}))
    inner = [] if IGNORES_REENTRY else ["inner"]
    assert [record["message"] for record in records] == [*inner, "outer"]
    assert records[-1]["extra"] == {"x": [0, "chatty", 3]}


def test_an_argument_that_logs_itself_for_ever_ends_and_harms_nothing(
    log_api, make_handler, logger, monkeypatch
):
    monkeypatch.setattr(logging, "raiseExceptions", False)

    class Endless:
        def __str__(self):
            logger.info("again %s", self)
            return "endless"

    logger.addHandler(handler := make_handler())
    logger.info("start %s", Endless())
    logger.info("still here")
    assert handler.flush()
    assert log_api.records[-1]["message"] == "still here"


def test_a_del_that_logs_while_we_encode_does_no_harm(shipped, logger):
    class Last:
        def __del__(self):
            logger.info("deleted")

    def log_all(log):
        for i in range(50):
            log.info("%s", i, extra={"garbage": [Last() for _ in range(20)]})
            gc.collect(0)

    records = shipped(log_all)
    assert sum(record["message"] == "deleted" for record in records) == 1000
    assert sum("extra" in record for record in records) == 50


# ---- threads


def test_records_of_each_thread_arrive_in_order_and_once(log_api, make_handler, logger):
    handler = make_handler()
    logger.addHandler(handler)

    def work(name):
        for i in range(500):
            logger.info("%s %d", name, i)

    workers = [threading.Thread(target=work, args=(n,), name=f"worker-{n}") for n in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert handler.flush()
    by_thread = {}
    for record in log_api.records:
        name, number = record["message"].split()
        by_thread.setdefault(name, []).append(int(number))
        assert record["threadName"] == f"worker-{name}"
    assert by_thread == {str(n): list(range(500)) for n in range(8)}


def test_the_counts_add_up_at_any_moment(log_api, make_handler, logger):
    handler = make_handler(queue_bytes=1 << 17, retry_attempts=0)
    logger.addHandler(handler)
    log_api.refuse(lambda record: record["message"].endswith("7"))

    def work():
        for i in range(3000):
            logger.info("%d", i)

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    while any(worker.is_alive() for worker in workers):
        stats = handler.stats()
        fates = stats["delivered"] + stats["pending"] + sum(stats["dropped"].values())
        assert stats["accepted"] == fates
    handler.flush()
    stats = handler.stats()
    assert stats["accepted"] == 12_000 == stats["delivered"] + sum(stats["dropped"].values())
    assert stats["delivered"] == len(log_api.records)


def test_handlers_closed_while_others_log_account_for_every_record(log_api, make_handler, logger):
    handlers = [make_handler() for _ in range(4)]
    logger.handlers = handlers

    def work():
        for _ in range(2000):
            logger.info("x")

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    log_api.wait_for(100)
    for handler in handlers:
        handler.close()
    for worker in workers:
        worker.join()
    for handler in handlers:
        stats = handler.stats()
        # And the notice that some were dropped.
        assert 8000 <= stats["accepted"] <= 8001
        assert stats["delivered"] + sum(stats["dropped"].values()) == stats["accepted"]
    assert sum(h.stats()["delivered"] for h in handlers) == len(log_api.records)


# ---- memory


def test_a_forgotten_handler_is_collected_and_delivers_first(log_api):
    handler = LogAggregatorHandler(log_api.endpoint, flush_interval=60)
    handler.emit(logging.LogRecord("a", 20, "f", 1, "last words", (), None))
    reference = weakref.ref(handler)
    del handler
    assert reference() is None
    assert [record["message"] for record in log_api.records] == ["last words"]


def test_a_handler_that_its_own_auth_holds_is_collected_and_still_authorized(log_api):
    class Application:
        def __init__(self):
            self.handler = LogAggregatorHandler(log_api.endpoint, auth=self.auth, flush_interval=60)

        def auth(self):
            return {"Authorization": "Bearer of-a-cycle"}

    application = Application()
    application.handler.emit(logging.LogRecord("a", 20, "f", 1, "last words", (), None))
    reference = weakref.ref(application)
    del application
    gc.collect()
    assert reference() is None
    assert log_api.posts[0].headers["Authorization"] == "Bearer of-a-cycle"


def test_a_handler_whose_last_reference_goes_within_its_own_callable_does_no_harm(log_api):
    holder = {}
    gone = threading.Event()

    class Watched(LogAggregatorHandler):
        pass

    def auth():
        holder.clear()
        gc.collect()
        gone.set()
        return {"Authorization": "Bearer x"}

    holder["handler"] = Watched(log_api.endpoint, auth=auth, flush_interval=0, close_timeout=5)
    holder["handler"].emit(logging.LogRecord("a", 20, "f", 1, "x", (), None))
    assert gone.wait(10)
    log_api.wait_for(1)


def test_ten_thousand_records_leave_no_references_behind(log_api, make_handler, logger):
    class Value:
        pass

    logger.addHandler(handler := make_handler())
    value = Value()
    reference = weakref.ref(value)
    for _ in range(10_000):
        logger.info("x", extra={"value": value, "list": [value]})
    del value
    assert reference() is None
    assert handler.flush()


# ---- forks


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_can_log_close_and_exit(make_handler, logger):
    with LogApi() as api:
        handler = make_handler(api.endpoint, close_timeout=0.2)
        logger.addHandler(handler)
        logger.info("parent")
        assert handler.flush()
        child = os.fork()
        if child == 0:
            logger.info("child")
            handler.flush(0.1)
            handler.close()
            os._exit(0)
        _, status = os.waitpid(child, 0)
        assert status == 0
        logger.info("parent again")
        assert handler.flush()
        assert [r["message"] for r in api.records if r["process"] == os.getpid()] == [
            "parent",
            "parent again",
        ]


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_handler_that_was_not_used_before_a_fork_delivers_from_the_child(
    log_api, make_handler, logger
):
    handler = make_handler()
    logger.addHandler(handler)
    child = os.fork()
    if child == 0:
        logger.info("child")
        os._exit(0 if handler.flush() else 1)
    _, status = os.waitpid(child, 0)
    assert status == 0
    assert [(r["message"], r["process"]) for r in log_api.records] == [("child", child)]
