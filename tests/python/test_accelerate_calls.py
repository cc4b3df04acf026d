"""Log calls with all that they can be given: they do the same without accelerate() and with it."""

from __future__ import annotations

import _thread
import asyncio
import collections
import copy
import enum
import gc
import logging
import multiprocessing
import os
import pickle
import re
import signal
import sys
import threading
import time
import types
import weakref

import pytest

from log_aggregator_handler import accelerate, decelerate
from python.both_ways import IGNORES_REENTRY, Collector, others_saw, with_collector


@pytest.fixture(autouse=True)
def _off_afterwards():
    yield
    decelerate()


def drop(record):
    return False


# ---- where the call stands


def deeper(depth, log):
    return deeper(depth - 1, log) if depth else log()


@pytest.mark.parametrize("stacklevel", [1, 2, 3, 4, 5, 40, 10_000, 10**7, 0, -1, True, 2.0, None])
def test_stacklevel_finds_the_same_place(both_ways, stacklevel):
    def log(logger):
        deeper(3, lambda: logger.info("x", stacklevel=stacklevel))
        deeper(3, lambda: logger.warning("x", stacklevel=stacklevel, stack_info=True))
        deeper(2, lambda: logging.LoggerAdapter(logger, {}).info("x", stacklevel=stacklevel))
        deeper(2, lambda: logger.exception("x", stacklevel=stacklevel))
        return others_saw(logger)

    both_ways(log)
    both_ways(log, arrange=with_collector)


@pytest.mark.parametrize("stacklevel", [1, 2, 3, 5])
def test_a_call_in_a_module_body_stands_in_its_module(both_ways, stacklevel):
    code = compile(
        "\n\nlog.info('x', stacklevel=n)\ndef f():\n  log.info('y', stacklevel=n)\nf()",
        "/srv/shop/app.py",
        "exec",
    )

    records = both_ways(lambda log: exec(code, {"log": log, "n": stacklevel})).records
    if stacklevel == 1:
        assert [(r["filename"], r["funcName"], r["lineno"]) for r in records] == [
            ("app.py", "<module>", 3),
            ("app.py", "f", 5),
        ]


@pytest.mark.parametrize(
    "path",
    ["", "app.py", "/a/b.c/d", "no/extension", "/x/.hidden", "dir/", "ünï/\udc80.py", "a" * 300],
)
def test_the_names_of_file_and_module_are_taken_from_any_path(both_ways, path):
    code = compile("log.info('x')", "placeholder", "exec").replace(co_filename=path)

    def log(logger):
        exec(code, {"log": logger})
        return others_saw(logger)

    both_ways(log)
    both_ways(log, arrange=with_collector)


def test_frames_of_importlib_and_of_logging_are_stepped_over(both_ways):
    source = "log.info('x', stacklevel=n)"
    inner = compile(source, "<frozen importlib._bootstrap>", "exec")
    middle = compile("exec(inner)", logging.__file__, "exec")

    def log(logger):
        for code in (inner, middle):
            for n in (1, 2, 3):
                exec(code, {"log": logger, "n": n, "inner": inner})

    both_ways(log)


def test_find_caller_answers_as_before(both_ways):
    def log(logger):
        return [
            deeper(2, lambda: deeper(2, logger.findCaller)),
            deeper(6, lambda: logger.findCaller(False, 2)),
            deeper(6, lambda: logger.findCaller(stack_info=True, stacklevel=1)),
            deeper(6, lambda: logger.findCaller(True)),
        ]

    assert both_ways(log).error is None


def test_a_call_through_c_code_stands_where_that_was_called(both_ways):
    def log(logger):
        list(map(logger.info, ["a", "b"]))
        sorted([2, 1], key=lambda n: logger.info("%d", n) or n)
        [logger.info("x") for _ in range(2)]

    both_ways(log, path="fast")


def test_places_of_ten_thousand_functions_are_told_and_let_go(
    log_api, make_handler, logger, accelerated
):
    logger.addHandler(handler := make_handler())
    codes = []
    for number in range(10_000):
        namespace = {"log": logger}
        exec(f"def f{number}():\n" + "\n" * (number % 7) + "  log.info('x')", namespace)
        namespace[f"f{number}"]()
        codes.append(weakref.ref(namespace[f"f{number}"].__code__))
        namespace.clear()
    gc.collect()
    assert sum(code() is not None for code in codes) < 5_000
    assert handler.stats()["paths"]["fast"] == 10_000
    assert handler.flush()
    assert [(r["funcName"], r["lineno"]) for r in log_api.records] == [
        (f"f{number}", 2 + number % 7) for number in range(10_000)
    ]


# ---- arguments of the call


@pytest.mark.parametrize(
    "exc_info",
    [True, 1, 0, False, None, "text", "", (), (None, None, None), (1, 2), (1, 2, 3), [], object,
     ValueError, ValueError("given"), KeyboardInterrupt(), 1.5],
    ids=repr,
)  # fmt: skip
@pytest.mark.parametrize("current", [True, False])
def test_exc_info_takes_every_form(both_ways, exc_info, current):
    def log(logger):
        if current:
            try:
                raise LookupError("current")
            except LookupError:
                logger.info("x", exc_info=exc_info)
        else:
            logger.info("x", exc_info=exc_info)
        return others_saw(logger)

    both_ways(log)
    both_ways(log, arrange=with_collector)


def test_exceptions_arrive_with_causes_groups_and_notes(both_ways):
    def fail(depth):
        if depth == 0:
            raise ValueError("ünten")
        fail(depth - 1)

    def log(logger):
        try:
            try:
                fail(5)
            except ValueError as error:
                if sys.version_info >= (3, 11):
                    error.add_note("a note")
                raise RuntimeError("above") from error
        except RuntimeError:
            logger.exception("x %s", 1)
            logger.error("y", exc_info=True)
            logger.exception("none", exc_info=False)
            logger.exception("z", exc_info=sys.exc_info())
            logger.warning("w", exc_info=sys.exc_info()[1])
        logger.exception("no exception")
        try:
            fail(900)
        except (ValueError, RecursionError):
            logger.exception("deep")

    records = both_ways(log, path="fast").records
    assert [("exception" in record) for record in records] == [1, 1, 0, 1, 1, 0, 1]


class Mapping(collections.UserDict):
    pass


class Dict(dict):
    pass


@pytest.mark.parametrize(
    "extra",
    [
        *({name: 1} for name in ("message", "asctime", "name", "msg", "args", "levelname", "lineno",
                                 "levelno", "pathname", "exc_info", "taskName", "process")),
        {}, {"a": 1}, Mapping(a=1), Dict(a=1), types.MappingProxyType({"a": 1}),
        collections.OrderedDict(a=1), {1: 2}, {None: 1, "a": 2}, {("a",): 1}, {"": 1},
        {"ü\udc80": 1}, [], ["a"], "ab", 5, object, {"a": {"b": [1, 2.5, None, {3}]}},
        {"level": 1, "host": 2}, {"self": 1}, {str.__new__(type("S", (str,), {}), "a"): 1},
    ],
    ids=repr,
)  # fmt: skip
def test_extras_are_taken_and_refused_as_before(both_ways, extra):
    def log(logger):
        try:
            logger.info("x", extra=extra)
        finally:
            logger.seen = others_saw(logger)
        return logger.seen

    both_ways(log)
    both_ways(log, arrange=with_collector)


@pytest.mark.parametrize(
    "call",
    [
        lambda log: log.info(),
        lambda log: log.info(msg="x"),
        lambda log: log.log(10),
        lambda log: log.log(),
        lambda log: log.log(level=20, msg="x"),
        lambda log: log.log(10, "x", level=5),
        lambda log: log.info("x", msg="y"),
        lambda log: log.info("x", self=1),
        lambda log: log.info("x", unknown=1),
        lambda log: log.info("x", level=1),
        lambda log: log.info("x", args=()),
        lambda log: log.exception(),
        lambda log: log.exception("x", 1, unknown=2),
        lambda log: log.isEnabledFor(),
        lambda log: log.isEnabledFor(level=20),
        lambda log: log.isEnabledFor([]),
        lambda log: log.isEnabledFor("INFO"),
        lambda log: log.findCaller(1, 2, 3),
        lambda log: log.info("x", **{"a" * 40: 1}),
        lambda log: log.info("x", *range(50)),
        lambda log: log.info("x" + "%s" * 50, *range(50), extra={"a": 1}, exc_info=False),
    ],
)
@pytest.mark.parametrize("level", [logging.DEBUG, 60])
def test_a_wrong_call_raises_the_same(both_ways, call, level):
    both_ways(call, arrange=lambda log, _: log.setLevel(level))


class Colour(enum.IntEnum):
    RED = 20


@pytest.mark.parametrize("level", [
    0, 1, -5, 15, 20, 25, 99, 2**31 - 1, 2**31, -(2**31), -(2**31) - 1, 2**63, 10**30, -(10**30),
    True, False, "INFO", 20.0, None, [], Colour.RED,
])  # fmt: skip
@pytest.mark.parametrize("raise_exceptions", [True, False])
def test_log_takes_every_level(both_ways, monkeypatch, level, raise_exceptions):
    monkeypatch.setattr(logging, "raiseExceptions", raise_exceptions)

    def log(logger):
        logger.setLevel(-(10**40))
        logger.log(level, "x %s", 1)
        return others_saw(logger)

    both_ways(log)
    both_ways(log, arrange=with_collector)


def test_levels_have_the_names_that_they_were_given(both_ways):
    names = (logging._levelToName.copy(), logging._nameToLevel.copy())

    def log(logger):
        try:
            logger.log(15, "x")
            logging.addLevelName(15, "TRACE")
            logger.log(15, "x")
            logging.addLevelName(15, "NOTICE")
            logging.addLevelName(20, "Information")
            logger.log(15, "x")
            logger.info("x")
        finally:
            for present, before in zip(
                (logging._levelToName, logging._nameToLevel), names, strict=True
            ):
                present.clear()
                present.update(before)

    records = both_ways(log).records
    assert [record["level"] for record in records] == ["Level 15", "TRACE", "NOTICE", "Information"]


class Sub(str):
    def __mod__(self, other):
        return f"modulo {other}"


class SubStr(str):
    def __str__(self):
        return "by __str__ %s"


class Odd:
    def __str__(self):
        return "odd %s"

    def __repr__(self):
        return "Odd()"


class ReturnsSub:
    def __str__(self):
        return Sub("sub %s")


@pytest.mark.parametrize("msg", [
    None, 5, 2.5, True, b"bytes %s", [], {}, {"a": 1}, (), ("a", "b"), Odd(), Sub("a %s"),
    SubStr("x"), ReturnsSub(), ValueError("bad %s"), "", "plain", "%", "100%", "%%", "%s", "%d",
    "%i", "%r", "%a", "%c", "%x", "%5s|%-5s", "%.2f", "%(a)s", "%(a)s %s", "%s %s", "%z", "% s",
    "%ls", "%*d", "ü %s", "\udc80 %s", "\x00\x1f\x7f %s", "%s" * 20, "x" * 100_000 + "%s",
], ids=lambda msg: repr(msg)[:20])  # fmt: skip
def test_messages_are_formatted_alike(log_api, make_handler, logger, msg):
    logger.addHandler(handler := make_handler())
    errors = []
    handler.handleError = lambda record: errors.append(
        (record.msg, record.args, type(sys.exc_info()[1]), str(sys.exc_info()[1]))
    )
    for args in ARGS:
        for turn in (decelerate, accelerate):
            turn()
            logger.info(msg, *args)
    assert handler.flush()
    messages = [record["message"] for record in log_api.records]
    assert messages[::2] == messages[1::2]
    assert errors[::2] == errors[1::2]
    for args, message in zip(ARGS, messages[::2], strict=True):
        record = logging.LogRecord("a", 20, "f", 1, msg, args, None)
        error = None
        try:
            expected = without_surrogates(record.getMessage())
        except Exception as raised:
            error = raised
        if error is None:
            assert message == expected
        else:
            assert f"[not formatted: {type(error).__name__}" in message
            assert [errors.pop(0)[2:] for _ in "12"] == [(type(error), str(error))] * 2
    assert not errors
    assert handler.stats()["paths"]["fast"] == len(ARGS)


def without_surrogates(text):
    return "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in text)


ARGS = [
    (), ("text",), (5,), (2.5,), (None,), (True,), ("a", "b"), ({"a": 1},), ({},), (Mapping(a=1),),
    (Mapping(),), ((),), (("t", 1),), ([1],), (10**30,), (Odd(),), (Sub("s"),), (b"b",),
    ("\udc80\x00ü",), (Colour.RED,), ({"a": 1}, {"b": 2}), tuple(range(20)), (-(2**63),), (2**63,),
]  # fmt: skip


# ---- arguments that do things


class Raises:
    def __init__(self, error):
        self.error = error

    def __str__(self):
        raise type(self.error)(*self.error.args)

    __repr__ = __str__


@pytest.mark.parametrize("raise_exceptions", [True, False])
@pytest.mark.parametrize(
    "args",
    [
        ("%d", "no number"),
        ("%s %s", 1),
        ("x", 1),
        ("%(a)s", {"b": 1}),
        ("%s", Raises(ValueError("bad"))),
        (Raises(ValueError("bad")),),
        (Raises(ValueError("bad")), 1),
        ("%s", Raises(RecursionError("deep"))),
    ],
    ids=["type", "few", "many", "key", "str", "msg", "msg and args", "recursion"],
)
def test_what_cannot_be_formatted_is_delivered_and_reported_once(
    both_ways, monkeypatch, raise_exceptions, args
):
    monkeypatch.setattr(logging, "raiseExceptions", raise_exceptions)
    outcome = both_ways(lambda log: log.info(*args))
    assert outcome.paths == {"fast": 1}
    assert "[not formatted: " in outcome.records[0]["message"]
    assert outcome.stderr.count("--- Logging error ---") == raise_exceptions
    assert ("in <lambda>" in outcome.stderr) == raise_exceptions


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3), GeneratorExit()])
@pytest.mark.parametrize("place", ["msg", "args", "extra", "exception"])
def test_an_interruption_reaches_the_caller_and_the_record_arrives(both_ways, error, place):
    class Bad(Exception):
        def __str__(self):
            raise error

    def log(logger):
        bad = Raises(error)
        if place == "msg":
            logger.info(bad)
        elif place == "args":
            logger.info("x %s", bad)
        elif place == "extra":
            logger.info("x", extra={"bad": bad})
        else:
            logger.info("x", exc_info=Bad())

    outcome = both_ways(log, path="fast")
    assert len(outcome.records) == 1
    if place in ("msg", "args"):
        assert outcome.error[0] is type(error)


@pytest.mark.parametrize("kind", [KeyboardInterrupt, ValueError])
@pytest.mark.parametrize("beside", [None, with_collector])
def test_an_interruption_while_the_process_name_is_asked_for_is_not_lost(both_ways, kind, beside):
    class Process:
        @property
        def name(self):
            raise kind

    def log(logger):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(multiprocessing.process, "_current_process", Process())
            logger.info("x")

    outcome = both_ways(log, arrange=beside)
    assert outcome.error == ((KeyboardInterrupt, "") if kind is KeyboardInterrupt else None)


def test_a_signal_within_a_log_call_is_handled(both_ways):
    class Interrupting:
        def __str__(self):
            signal.raise_signal(signal.SIGINT)
            return "never"

        def __repr__(self):
            return "Interrupting()"

    assert both_ways(lambda log: log.info("x %s", Interrupting())).error[0] is KeyboardInterrupt


def test_an_argument_may_log_through_the_same_logger(both_ways):
    def log(logger):
        class Chatty:
            def __init__(self, depth):
                self.depth = depth

            def __str__(self):
                if self.depth:
                    logger.warning("inner %s", Chatty(self.depth - 1), extra={"d": self.depth})
                return f"chatty {self.depth}"

            def __repr__(self):
                return f"Chatty({self.depth})"

        logger.info("outer %s %s", Chatty(3), 7, extra={"a": 1})
        return others_saw(logger)

    records = both_ways(log, path="fast").records
    inner = [] if IGNORES_REENTRY else ["inner"] * 3
    assert [record["message"].split()[0] for record in records] == [*inner, "outer"]
    both_ways(log, arrange=with_collector, path="record_built")


def test_what_is_logged_while_a_record_is_handed_out_counts_as_it_does_without(both_ways):
    def log(logger):
        other = logging.getLogger("shop.other")
        other.handlers, other.propagate = logger.handlers, False

        class Chatty:
            def __str__(self):
                other.warning("inner")
                enabled.append(other.isEnabledFor(logging.WARNING))
                return "chatty"

            __repr__ = __str__

        class Filter(logging.Filter):
            def filter(self, record):
                other.warning("filter %s", record.getMessage())
                return True

        enabled: list[bool] = []
        logger.info("%s", Chatty())
        logger.info("x", extra={"value": Chatty()})
        logger.info("%d", "no number")
        logger.info("%s %s", 1, "quiet")
        try:
            raise ValueError(Chatty())
        except ValueError:
            logger.exception("failed")
        logger.addFilter(Filter())
        logger.info("filtered")
        logger.warning("%s", Chatty())
        other.warning("alone")
        return enabled

    both_ways(log)
    both_ways(log, arrange=with_collector)


def test_an_argument_that_logs_itself_for_ever_ends(log_api, make_handler, logger, accelerated):
    class Endless:
        def __str__(self):
            logger.info("again %s", self)
            return "endless"

    logger.addHandler(handler := make_handler())
    handler.handleError = lambda record: None
    logger.info("start %s", Endless())
    logger.info("still here")
    assert handler.flush()
    assert log_api.records[-1]["message"] == "still here"


def acting(action):
    """An argument that does something when it is formatted."""

    class Acting:
        def __str__(self):
            action()
            return "acted"

        def __repr__(self):
            return "Acting()"

    return Acting()


@pytest.mark.parametrize("beside", [None, with_collector])
def test_an_argument_may_change_anything_about_logger_and_handler(both_ways, beside):
    def log(logger):
        handler = logger.handlers[0]
        rubbish = []

        def rename():
            logger.name = "".join(["an", "other"])
            rubbish.extend(f"{n:010}" for n in range(1000))

        logger.name = "".join(["shop", ".", "renamed"])
        actions = [
            rename,
            lambda: logger.setLevel(60),
            lambda: logger.setLevel(10),
            lambda: handler.setLevel(60),
            lambda: handler.setLevel(0),
            lambda: logger.removeHandler(handler),
            lambda: logger.handlers.insert(0, handler),
            lambda: setattr(logger, "propagate", False),
            lambda: setattr(logger, "disabled", True),
            lambda: setattr(logger, "disabled", False),
            lambda: handler.addFilter(drop),
            lambda: handler.removeFilter(drop),
            lambda: vars(logger).update(name="by dict"),
            lambda: setattr(logger, "__dict__", dict(vars(logger))),
            decelerate,
        ]
        for number, action in enumerate(actions):
            logger.info("%d %s", number, acting(action), extra={"a": 1})
        return others_saw(logger)

    both_ways(log, arrange=beside)


def test_extras_are_those_of_the_time_of_the_call(both_ways):
    def log(logger):
        extra = {"a": 1}
        logger.info("x %s", acting(lambda: extra.update(a=2, b=3, message="x")), extra=extra)
        return others_saw(logger)

    [record] = both_ways(log, path="fast").records
    assert record["extra"] == {"a": 1}
    both_ways(log, arrange=with_collector)


def test_an_argument_that_logs_at_many_places_does_not_change_the_place_of_the_call(both_ways):
    def log(logger):
        def elsewhere():
            for number in range(3000):
                namespace = {"log": logger}
                exec(f"def f{number}(): log.debug('x')", namespace)
                namespace[f"f{number}"]()

        logger.setLevel(logging.DEBUG)
        logger.info("x %s", acting(elsewhere))

    assert both_ways(log).records[-1]["funcName"] == "log"


# ---- who calls: threads, processes, tasks, clocks


def test_a_threads_name_is_that_of_the_moment(both_ways):
    def log(logger):
        thread = threading.current_thread()
        before = thread.name
        try:
            for name in ("first", "second", "ü", "", "x" * 300):
                thread.name = name
                logger.info("x")
        finally:
            thread.name = before
        return others_saw(logger)

    records = both_ways(log, path="fast").records
    assert [record["threadName"] for record in records] == ["first", "second", "ü", "", "x" * 300]
    both_ways(log, arrange=with_collector)


def test_each_thread_has_its_name(log_api, make_handler, logger, accelerated):
    logger.addHandler(handler := make_handler())
    threads = [
        threading.Thread(target=lambda: logger.info(threading.current_thread().name), name=f"t{n}")
        for n in range(200)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert handler.flush()
    assert len(log_api.records) == 200
    assert all(record["threadName"] == record["message"] for record in log_api.records)
    assert handler.stats()["paths"]["fast"] == 200


def test_a_thread_may_have_a_name_of_its_own_kind():
    class Named(threading.Thread):
        @property
        def name(self):
            return "computed"

        @name.setter
        def name(self, value):
            pass

    def log(logger):
        thread = Named(target=lambda: logger.info("x"))
        thread.start()
        thread.join()

    names = []
    for turn in (decelerate, accelerate):
        turn()
        logger = logging.Logger("x", 10)
        logger.addHandler(collector := Collector())
        log(logger)
        names += [record.threadName for record in collector.records]
    assert names == ["computed"] * 2


def test_a_thread_that_threading_did_not_make_is_a_dummy(
    log_api, make_handler, logger, accelerated
):
    logger.addHandler(handler := make_handler())
    done = threading.Event()

    def work():
        logger.info("x")
        logger.info("y")
        done.set()

    _thread.start_new_thread(work, ())
    assert done.wait(10)
    assert handler.flush()
    first, second = log_api.records
    assert re.fullmatch(r"Dummy-\d+", first["threadName"])
    assert first["threadName"] == second["threadName"]
    assert handler.stats()["paths"]["fast"] == 2


def test_a_clock_that_was_stopped_is_honoured(log_api, make_handler, logger, accelerated):
    logger.addHandler(handler := make_handler())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "time", lambda: 86400.25)
        patch.setattr(time, "time_ns", lambda: 86400_250_000_000)
        logger.info("x")
    logger.info("y")
    assert handler.flush()
    assert log_api.records[0]["timestamp"] == "1970-01-02T00:00:00.250000+00:00"
    assert log_api.records[1]["timestamp"] > "2024"
    assert handler.stats()["paths"] == {"fast": 1, "record_built": 0, "fallback": 1}


mocked = types.SimpleNamespace(name="mocked")


@pytest.mark.parametrize(
    ("module", "name", "value", "field", "expected"),
    [
        (os, "getpid", 4711, "process", 4711),
        (threading, "current_thread", mocked, "threadName", "mocked"),
        (multiprocessing, "current_process", mocked, "processName", "mocked"),
    ],
)
def test_a_patch_of_what_records_are_made_of_is_honoured(
    both_ways, module, name, value, field, expected
):
    def log(logger):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, name, lambda: value)
            logger.info("x")
        return others_saw(logger)

    [record] = both_ways(log).records
    assert record[field] == expected
    both_ways(log, arrange=with_collector)


def test_a_patch_of_get_ident_is_honoured(both_ways):
    def log(logger):
        thread = threading.current_thread()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(threading, "get_ident", lambda: 4712)
            patch.setattr(threading, "current_thread", lambda: thread)
            logger.info("x")

    [record] = both_ways(log, path="fallback").records
    assert record["thread"] == 4712


def test_the_name_of_the_process_is_told(both_ways):
    def log(logger):
        process = multiprocessing.current_process()
        before = process.name
        try:
            process.name = "worker-1"
            logger.info("x")
        finally:
            process.name = before
        logger.info("y")
        return others_saw(logger)

    records = both_ways(log, path="fast").records
    assert [record.get("processName") for record in records] == ["worker-1", None]
    both_ways(log, arrange=with_collector)


def test_the_name_of_the_task_is_told_where_logging_tells_it(both_ways):
    def log(logger):
        async def work():
            logger.info("in a task")
            await asyncio.sleep(0)
            logger.info("still")

        async def main():
            asyncio.get_running_loop().call_soon(logger.info, "in no task")
            await asyncio.create_task(work(), name="payer")

        asyncio.run(main())
        logger.info("outside")
        return others_saw(logger)

    records = both_ways(log, path="fast").records
    told = sys.version_info >= (3, 12)
    assert {record["message"]: record.get("taskName") for record in records} == {
        "in a task": "payer" if told else None,
        "still": "payer" if told else None,
        "in no task": None,
        "outside": None,
    }
    both_ways(log, arrange=with_collector)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_tells_its_own_process(log_api, make_handler, logger, accelerated):
    logger.addHandler(handler := make_handler(close_timeout=20))
    logger.info("parent")
    child = os.fork()
    if child == 0:
        logger.info("child")
        handler.close()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert handler.flush()
    told = {record["message"]: record["process"] for record in log_api.wait_for(2)}
    assert told == {"parent": os.getpid(), "child": child}


# ---- records made here


def formula(created_ns):
    """The times of a record that this Python's LogRecord makes at a time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "time", lambda: created_ns / 1e9)
        patch.setattr(time, "time_ns", lambda: created_ns)
        record = logging.LogRecord("a", 20, "f", 1, "x", (), None)
    return record.created, record.msecs, record.relativeCreated


def test_a_built_record_is_as_one_of_logging(logger):
    plain, fast = Collector(), Collector()
    for turn, collector in ((decelerate, plain), (accelerate, fast)):
        turn()
        logger.handlers = [collector]
        try:
            raise ValueError("bad")
        except ValueError:
            for args, options in [
                ((), {}),
                ((1, "a"), {"extra": {"b": 1, "a": 2}}),
                (({"k": 1},), {"exc_info": True}),
                ((Mapping(k=1),), {"stack_info": True}),
                (({},), {"exc_info": 0}),
                ((None,), {"stacklevel": 2}),
            ]:
                logger.info("%s", *args, **options)
    decelerate()
    assert fast.seen() == plain.seen()
    for made, expected in zip(fast.records, plain.records, strict=True):
        assert list(vars(made)) == list(vars(expected))
        assert [type(v) for v in vars(made).values()] == [type(v) for v in vars(expected).values()]
        assert type(made) is logging.LogRecord
        assert made.args is not None
        assert str(made) == str(expected)
        made.exc_info = None
        assert vars(pickle.loads(pickle.dumps(made))).keys() == vars(expected).keys()
        assert vars(copy.copy(made)) == vars(made)


def test_the_times_of_a_built_record_agree(logger, accelerated):
    logger.addHandler(collector := Collector())
    before = time.time()
    for _ in range(2000):
        logger.info("x")
    after = time.time()
    for record in collector.records:
        assert before <= record.created <= after
        near = [formula(round(record.created * 1e9) + offset) for offset in (-500, 0, 500)]
        assert record.msecs in {msecs for _, msecs, _ in near}
        assert min(abs(record.relativeCreated - relative) for _, _, relative in near) < 0.01
        assert type(record.msecs) is type(record.created) is type(record.relativeCreated) is float


def test_a_built_record_can_be_changed_as_any_other(logger, accelerated):
    logger.addHandler(collector := Collector())
    logger.info("x %s", 1)
    [record] = collector.records
    record.levelno = 30
    record.new = 1
    del record.msg
    assert (vars(record)["levelno"], record.new, hasattr(record, "msg")) == (30, 1, False)
    record.__dict__ = {"msg": "y", "args": ()}
    assert record.getMessage() == "y"
    assert not hasattr(record, "levelno")
