"""What a log record looks like when it arrives."""

from __future__ import annotations

import asyncio
import datetime
import json
import logging
import logging.handlers
import os
import queue
import re
import socket
import sys
import threading

import pytest

from log_aggregator_handler import LogAggregatorHandler


def make_record(**attributes):
    record = logging.LogRecord("app", logging.INFO, "/src/shop.py", 7, "hello", (), None, "buy")
    for name, value in attributes.items():
        setattr(record, name, value)
    return record


def test_a_record_has_every_field_of_the_api_with_its_type(shipped):
    [record] = shipped(lambda log: log.info("user %s logged in", "ada"))
    assert record.pop("lineno") > 0
    assert record.pop("thread") == threading.get_ident()
    assert record.pop("process") == os.getpid()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00", record.pop("timestamp"))
    assert record == {
        "level": "INFO",
        "message": "user ada logged in",
        "host": socket.gethostname(),
        "host_process": "shop.orders",
        "logger_name": "shop.orders",
        "module": "test_records",
        "filename": "test_records.py",
        "funcName": "<lambda>",
        "threadName": "MainThread",
    }


@pytest.mark.parametrize(
    "created",
    [
        1743062571.123456,
        1743062571.0,
        0.0,
        -1.5,
        -0.0000005,
        1743062571.9999996,  # rounds up into the next second
        1743062571.0000005,  # halves round to even, as far as a float can tell
        1743062571.0000015,
        253402300799.0,
        0.1 + 0.2,
        1e-7,
    ],
)
def test_the_timestamp_is_created_rounded_as_datetime_rounds(shipped, created):
    [record] = shipped(lambda log: log.handle(make_record(created=created)))
    moment = datetime.datetime.fromtimestamp(created, datetime.timezone.utc)
    assert record["timestamp"] == moment.isoformat(timespec="microseconds")


@pytest.mark.parametrize("created", [float("nan"), float("inf"), 1e300, -1e300, "now", None, []])
def test_a_record_whose_time_is_no_time_gets_the_present(shipped, created):
    before = datetime.datetime.now(datetime.timezone.utc)
    [record] = shipped(lambda log: log.handle(make_record(created=created)))
    moment = datetime.datetime.fromisoformat(record["timestamp"])
    assert before <= moment <= datetime.datetime.now(datetime.timezone.utc)


def test_exc_info_becomes_the_formatted_traceback(shipped):
    def log_error(log):
        try:
            raise KeyError("missing")
        except KeyError:
            log.exception("lookup failed")

    [record] = shipped(log_error)
    assert record["message"] == "lookup failed"
    assert record["level"] == "ERROR"
    assert record["exception"].startswith("Traceback (most recent call last):\n")
    assert record["exception"].endswith("KeyError: 'missing'")


def test_exc_info_true_without_an_exception_gives_no_exception_field(shipped):
    [record] = shipped(lambda log: log.error("no exception here", exc_info=True))
    assert "exception" not in record


@pytest.mark.parametrize(
    ("exc_info", "text"),
    [
        (ValueError("by itself"), "ValueError: by itself"),
        ((ValueError, ValueError("a tuple"), None), "ValueError: a tuple"),
    ],
)
def test_an_exception_may_be_given_by_itself_or_as_a_tuple(shipped, exc_info, text):
    [record] = shipped(lambda log: log.error("x", exc_info=exc_info))
    assert record["exception"] == text
    [record] = shipped(lambda log: log.handle(make_record(exc_info=exc_info)))
    assert record["exception"] == text


@pytest.mark.parametrize("exc_info", [(None, None, None), True, 1, "text", (1, 2), ()])
def test_what_is_no_exception_gives_no_exception_field(shipped, exc_info):
    [record] = shipped(lambda log: log.handle(make_record(exc_info=exc_info)))
    assert "exception" not in record
    assert record["message"] == "hello"


def test_a_traceback_that_another_handler_formatted_is_taken_over(shipped):
    record = make_record(exc_text="formatted before", exc_info=(ValueError, ValueError(), None))
    [arrived] = shipped(lambda log: log.handle(record))
    assert arrived["exception"] == "formatted before"


def test_an_exception_whose_str_raises_does_not_lose_the_record(shipped):
    class BadError(Exception):
        def __str__(self):
            raise RuntimeError

    [record] = shipped(lambda log: log.error("x", exc_info=BadError()))
    assert "BadError" in record["exception"]
    assert record["message"] == "x"


def test_stack_info_arrives_as_stack(shipped):
    [record] = shipped(lambda log: log.info("where am I", stack_info=True))
    assert record["stack"].startswith("Stack (most recent call last):")
    [record] = shipped(lambda log: log.info("no stack"))
    assert "stack" not in record


def test_extra_holds_every_attribute_that_is_not_standard(shipped):
    extra = {"user_id": 123, "ip_address": "192.168.1.100", "nested": {"a": [1, 2.5, None, True]}}
    [record] = shipped(lambda log: log.info("User logged in.", extra=extra))
    assert record["extra"] == extra
    [record] = shipped(lambda log: log.info("nothing extra"))
    assert "extra" not in record


def test_what_filters_and_adapters_add_is_extra_too(shipped, make_handler):
    handler = make_handler()

    def add_request(record):
        record.request_id = "r-1"
        return True

    handler.addFilter(add_request)
    [record] = shipped(
        lambda log: logging.LoggerAdapter(log, {"tenant": "acme"}).info("hi"), handler
    )
    assert record["extra"] == {"request_id": "r-1", "tenant": "acme"}


def test_attributes_set_by_another_handlers_formatter_are_not_extra(shipped, logger):
    stream = logging.StreamHandler(open(os.devnull, "w"))  # noqa: SIM115
    stream.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    logger.addHandler(stream)
    [record] = shipped(lambda log: log.info("first the stream, then ours"))
    stream.stream.close()
    assert "extra" not in record


def test_a_message_that_is_no_str_arrives_as_its_str(shipped):
    records = shipped(lambda log: [log.info(12), log.info(None), log.info({"a": 1})])
    assert [record["message"] for record in records] == ["12", "None", "{'a': 1}"]


def test_arguments_may_be_a_mapping(shipped):
    [record] = shipped(lambda log: log.info("%(user)s came", {"user": "ada"}))
    assert record["message"] == "ada came"


def test_arguments_that_change_after_the_call_do_not_change_the_record(shipped):
    basket = ["apple"]

    def log_and_change(log):
        log.info("basket %s", basket, extra={"basket": basket})
        basket.append("pear")

    [record] = shipped(log_and_change)
    assert record["message"] == "basket ['apple']"
    assert record["extra"] == {"basket": ["apple"]}


def test_a_message_that_cannot_be_formatted_arrives_and_is_shown_on_stderr(shipped, capsys):
    records = shipped(lambda log: [log.info("%d items", "three"), log.info("next")])
    assert records[0]["message"].startswith("%d items [not formatted: TypeError: ")
    assert "('three',)" in records[0]["message"]
    assert records[1]["message"] == "next"
    assert "--- Logging error ---" in capsys.readouterr().err


def test_raise_exceptions_off_keeps_stderr_silent(shipped, capsys, monkeypatch):
    monkeypatch.setattr(logging, "raiseExceptions", False)
    [record] = shipped(lambda log: log.info("%d items", "three"))
    assert "not formatted" in record["message"]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("name", ["name", "module", "filename", "funcName", "threadName"])
@pytest.mark.parametrize(("value", "text"), [(None, ""), (5, "5"), (["a"], "['a']")])
def test_a_text_attribute_of_another_type_arrives_as_text(shipped, name, value, text):
    field = "logger_name" if name == "name" else name
    [record] = shipped(lambda log: log.handle(make_record(**{name: value})))
    assert record[field] == text
    assert record["message"] == "hello"


@pytest.mark.parametrize("name", ["lineno", "process", "thread"])
@pytest.mark.parametrize(
    ("value", "number"), [(None, 0), ("x", 0), (2.5, 2.5), (10**30, 10**30), (True, 1)]
)
def test_a_numeric_attribute_of_another_type_arrives_as_a_number(shipped, name, value, number):
    [record] = shipped(lambda log: log.handle(make_record(**{name: value})))
    assert record[name] == number
    assert record["message"] == "hello"


def test_a_record_made_of_a_bare_dict_arrives(shipped):
    bare = logging.makeLogRecord({"msg": "bare", "x": 1})
    [record] = shipped(lambda log: log.handlers[0].handle(bare))
    assert record["message"] == "bare"
    assert record["extra"] == {"x": 1}


def test_switches_of_logging_that_leave_out_attributes_do_not_lose_the_record(shipped, monkeypatch):
    for switch in ("logThreads", "logProcesses", "logMultiprocessing", "logAsyncioTasks"):
        monkeypatch.setattr(logging, switch, False, raising=False)
    [record] = shipped(lambda log: log.info("less"))
    assert (record["thread"], record["process"], record["threadName"]) == (0, 0, "")


def test_an_attribute_that_a_class_of_records_computes_is_read(shipped):
    class Computed(logging.LogRecord):
        @property
        def module(self):
            return "computed"

        @module.setter
        def module(self, value):
            pass

    record = Computed("app", 20, "f.py", 1, "hello", (), None)
    [arrived] = shipped(lambda log: log.handle(record))
    assert arrived["module"] == "computed"


@pytest.mark.skipif(sys.version_info < (3, 12), reason="LogRecord.taskName is new in 3.12")
def test_the_name_of_an_asyncio_task_arrives(shipped):
    async def work(log):
        log.info("in a task")

    async def main(log):
        await asyncio.create_task(work(log), name="worker-7")

    [record] = shipped(lambda log: asyncio.run(main(log)))
    assert record["taskName"] == "worker-7"


def test_the_name_of_a_child_process_arrives(shipped):
    [record] = shipped(lambda log: log.handle(make_record(processName="Worker-3")))
    assert record["processName"] == "Worker-3"
    assert "extra" not in record


# ---- formatters and subclasses


def test_a_formatter_makes_the_message(shipped, make_handler):
    handler = make_handler()
    handler.setFormatter(logging.Formatter("%(name)s|%(levelname)s|%(message)s"))
    [record] = shipped(lambda log: log.info("hi %d", 1), handler)
    assert record["message"] == "shop.orders|INFO|hi 1"
    assert record["level"] == "INFO"


def test_with_a_formatter_the_exception_is_in_the_message_and_a_field_of_its_own(
    shipped, make_handler
):
    class Short(logging.Formatter):
        def formatException(self, ei):
            return f"short {ei[0].__name__}"

    handler = make_handler()
    handler.setFormatter(Short("%(message)s"))
    [record] = shipped(lambda log: log.error("x", exc_info=ValueError()), handler)
    assert record["message"] == "x\nshort ValueError"
    assert record["exception"] == "short ValueError"


def test_any_object_with_a_format_method_can_be_the_formatter(shipped, make_handler):
    class Duck:
        def format(self, record):
            return "quack " + record.getMessage()

    handler = make_handler()
    handler.setFormatter(Duck())
    [record] = shipped(lambda log: log.error("x", exc_info=ValueError("y")), handler)
    assert record["message"] == "quack x"
    assert record["exception"] == "ValueError: y"


def test_a_formatter_that_raises_does_not_lose_the_record(shipped, make_handler, capsys):
    handler = make_handler()
    handler.setFormatter(logging.Formatter("%(missing)s"))
    [record] = shipped(lambda log: log.info("hi"), handler)
    assert record["message"].startswith("hi [not formatted: ")
    assert "--- Logging error ---" in capsys.readouterr().err


def test_the_format_that_basic_config_gives_by_itself_is_not_one_that_was_set(
    shipped, make_handler
):
    handler = make_handler()
    handler.setFormatter(logging.Formatter(logging.BASIC_FORMAT))
    [record] = shipped(lambda log: log.info("hi"), handler)
    assert record["message"] == "hi"
    handler.setFormatter(logging.Formatter("%(levelname)s:%(message)s"))
    [record] = shipped(lambda log: log.info("hi"), handler)
    assert record["message"] == "INFO:hi"


def test_a_subclass_may_override_format(shipped, make_handler):
    class Shouting(LogAggregatorHandler):
        def format(self, record):
            return record.getMessage().upper()

    [record] = shipped(lambda log: log.info("hi"), make_handler(kind=Shouting))
    assert record["message"] == "HI"


def test_format_may_be_replaced_on_one_handler(shipped, make_handler):
    handler = make_handler()
    handler.format = lambda record: "replaced"
    [record] = shipped(lambda log: log.info("hi"), handler)
    assert record["message"] == "replaced"


def test_a_subclass_may_override_emit_and_is_then_called_with_the_lock_held(shipped, make_handler):
    class Counting(LogAggregatorHandler):
        locked = None

        def emit(self, record):
            acquired: list[bool] = []
            lock = self.lock
            assert lock is not None
            thread = threading.Thread(target=lambda: acquired.append(lock.acquire(False)))
            thread.start()
            thread.join()
            self.locked = acquired == [False]
            record.msg = "seen: " + record.msg
            super().emit(record)

    handler = make_handler(kind=Counting)
    [record] = shipped(lambda log: log.info("hi"), handler)
    assert record["message"] == "seen: hi"
    assert handler.locked


def test_a_subclass_may_override_filter(shipped, make_handler):
    class OnlyEven(LogAggregatorHandler):
        def filter(self, record):
            return record.args[0] % 2 == 0

    records = shipped(
        lambda log: [log.info("%d", i) for i in range(4)], make_handler(kind=OnlyEven)
    )
    assert [record["message"] for record in records] == ["0", "2"]


def test_filters_and_levels_of_the_handler_hold(shipped, make_handler):
    handler = make_handler()
    handler.setLevel(logging.WARNING)
    handler.addFilter(lambda record: "secret" not in record.getMessage())
    records = shipped(
        lambda log: [log.info("a"), log.warning("b"), log.error("secret"), log.error("c")], handler
    )
    assert [record["message"] for record in records] == ["b", "c"]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="filters return records since 3.12")
def test_a_filter_may_replace_the_record(shipped, make_handler):
    handler = make_handler()
    handler.addFilter(lambda record: make_record(msg="another"))
    [record] = shipped(lambda log: log.info("one"), handler)
    assert record["message"] == "another"


def test_format_record_makes_the_whole_record(shipped, make_handler):
    class Own(LogAggregatorHandler):
        def format_record(self, record):
            return {"text": record.getMessage(), "n": float("nan"), 1: "a", "1": "b"}

    [record] = shipped(lambda log: log.info("hi"), make_handler(kind=Own))
    assert record == {"text": "hi", "n": None, "1": "a", "1#2": "b"}


def test_format_record_may_extend_what_it_inherits(shipped, make_handler):
    class Extended(LogAggregatorHandler):
        def format_record(self, record):
            return {**super().format_record(record), "region": "eu"}

    handler = make_handler(kind=Extended, host="h1", fields={"service": "shop"})
    [record] = shipped(lambda log: log.warning("hi", extra={"x": 1}), handler)
    assert record["region"] == "eu"
    assert record["host"] == "h1"
    assert record["service"] == "shop"
    assert record["extra"] == {"x": 1}
    assert record["message"] == "hi"


def test_format_record_may_be_called_by_hand(make_handler):
    record = make_handler(host="h1").format_record(make_record(user=5))
    assert record["message"] == "hello"
    assert record["extra"] == {"user": 5}
    assert record["host"] == "h1"


@pytest.mark.parametrize("result", [None, "text", [1], RuntimeError("broken")])
def test_a_format_record_that_fails_does_not_lose_the_record(shipped, make_handler, capsys, result):
    class Broken(LogAggregatorHandler):
        def format_record(self, record):
            if isinstance(result, Exception):
                raise result
            return result

    [record] = shipped(lambda log: log.info("hi"), make_handler(kind=Broken))
    assert record["message"] == "hi"
    assert "--- Logging error ---" in capsys.readouterr().err


def test_records_that_come_through_a_queue_or_a_memory_handler_arrive(
    log_api, make_handler, logger
):
    handler = make_handler()
    between: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
    listener = logging.handlers.QueueListener(between, handler)
    memory = logging.handlers.MemoryHandler(10, target=handler)
    logger.handlers = [logging.handlers.QueueHandler(between), memory]
    listener.start()
    logger.error("hi %s", "ada", exc_info=ValueError("boom"), extra={"x": 1})
    listener.stop()
    memory.close()
    assert handler.flush()
    assert len(log_api.records) == 2
    for record in log_api.records:
        assert record["message"].startswith("hi ada")
        assert "boom" in record["message"] + record.get("exception", "")
        assert record["extra"] == {"x": 1}


def test_every_record_is_valid_json_by_itself(shipped, log_api):
    shipped(lambda log: [log.info('quote " backslash \\ tab \t nul \0 \x1f \u2028 é 😀')])
    line = log_api.posts[-1].body.splitlines()[0]
    assert json.loads(line)["message"] == 'quote " backslash \\ tab \t nul \0 \x1f \u2028 é 😀'
