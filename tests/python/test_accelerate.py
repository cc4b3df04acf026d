"""accelerate(): a log call does what it does without, on whatever path. `both_ways` compares."""

from __future__ import annotations

import _thread
import asyncio
import collections
import copy
import enum
import gc
import inspect
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
import unittest
import unittest.mock
import weakref

import pytest

from log_aggregator_handler import LogAggregatorHandler, accelerate, decelerate
from python.both_ways import Collector, comparable, others_saw

METHODS = [
    "debug", "info", "warning", "error", "exception", "critical", "log", "isEnabledFor",
    "findCaller",
]  # fmt: skip
HOOKS = ["_log", "makeRecord", "findCaller", "handle", "filter", "callHandlers"]


def with_collector(logger, patch):
    logger.addHandler(Collector())


# ---- on and off


@pytest.fixture(autouse=True)
def _off_afterwards():
    yield
    decelerate()


def test_decelerate_restores_the_very_methods_that_were_there():
    before = {name: vars(logging.Logger)[name] for name in METHODS}
    everything = dict(vars(logging.Logger))
    accelerate()
    assert all(vars(logging.Logger)[name] is not method for name, method in before.items())
    decelerate()
    assert {name: vars(logging.Logger)[name] for name in METHODS} == before
    assert dict(vars(logging.Logger)) == everything


def test_turning_on_or_off_twice_is_harmless(log_api, make_handler, logger):
    logger.addHandler(handler := make_handler())
    original = logging.Logger.info
    decelerate()
    accelerate()
    once = logging.Logger.info
    accelerate()
    assert logging.Logger.info is once
    logger.info("on")
    decelerate()
    decelerate()
    assert logging.Logger.info is original
    logger.info("off")
    accelerate()
    logger.info("on again")
    assert handler.flush()
    assert [record["message"] for record in log_api.records] == ["on", "off", "on again"]
    assert handler.stats()["paths"] == {"fast": 2, "record_built": 0, "fallback": 1}


def test_loggers_made_before_and_after_are_fast(make_handler):
    handler = make_handler()
    before = logging.getLogger("accelerate.before")
    accelerate()
    after = logging.getLogger("accelerate.after")
    for logger in (before, after):
        logger.propagate = False
        logger.addHandler(handler)
        logger.warning("x")
        logger.removeHandler(handler)
    assert handler.stats()["paths"]["fast"] == 2


def test_bound_methods_kept_from_before_and_from_the_time_between_work(
    log_api, make_handler, logger
):
    logger.addHandler(handler := make_handler())
    before = logger.info
    accelerate()
    between = logger.info
    before("before, on")
    decelerate()
    between("between, off")
    assert handler.flush()
    assert [record["message"] for record in log_api.records] == ["before, on", "between, off"]
    assert {record["funcName"] for record in log_api.records} == {
        "test_bound_methods_kept_from_before_and_from_the_time_between_work"
    }


def test_a_method_that_was_wrapped_meanwhile_stays_wrapped(
    log_api, make_handler, logger, monkeypatch
):
    logger.addHandler(handler := make_handler())
    accelerate()
    wrapped, calls = logging.Logger.info, []

    def info(self, msg, *args, **kwargs):
        calls.append(msg)
        wrapped(self, msg, *args, **kwargs)

    monkeypatch.setattr(logging.Logger, "info", info)
    decelerate()
    assert logging.Logger.info is info
    logger.info("off")
    accelerate()
    assert logging.Logger.info is info
    logger.info("on")
    assert calls == ["off", "on"]
    assert handler.stats()["paths"] == {"fast": 1, "record_built": 0, "fallback": 1}


def test_the_package_may_be_imported_anew(run_python):
    result = run_python(
        """
import gc, logging, sys
import log_aggregator_handler
original = logging.Logger.info
log_aggregator_handler.accelerate()
for name in [name for name in sys.modules if name.startswith("log_aggregator_handler")]:
    del sys.modules[name]
del log_aggregator_handler
gc.collect()
logger = logging.getLogger("x")
logger.warning("unloaded")
import log_aggregator_handler
logger.warning("imported")
log_aggregator_handler.accelerate()
logger.warning("accelerated")
log_aggregator_handler.decelerate()
assert logging.Logger.info is original
logger.warning("done")
"""
    )
    assert result.returncode == 0, result.stderr
    assert result.stderr.split() == ["unloaded", "imported", "accelerated", "done"]


def test_objects_that_log_while_the_interpreter_ends_do_no_harm(run_python):
    result = run_python(
        """
import builtins, codecs, logging, os, sys
import log_aggregator_handler
log_aggregator_handler.accelerate()
class Late:
    def __init__(self, logger):
        self.logger = logger
        self.write = os.write
    def __call__(self, name):
        return None
    def __del__(self):
        self.write(1, b"late\\n")
        self.logger.info("%s", 1, extra={"a": 1})
logger = logging.getLogger("x")
logger.setLevel(10)
logger.addHandler(logging.NullHandler())
sys.late, builtins.late = Late(logger), Late(logger)
codecs.register(Late(logger))
"""
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == ["late"] * 3


@pytest.mark.parametrize("name", METHODS)
def test_signatures_bind_what_they_did_and_docstrings_are_kept(name):
    plain = getattr(logging.Logger, name)
    accelerate()
    fast = getattr(logging.Logger, name)
    assert [p.name for p in inspect.signature(fast).parameters.values()] == [
        p.name for p in inspect.signature(plain).parameters.values()
    ]
    arguments = {"isEnabledFor": (10,), "findCaller": (), "log": (10, "x", 1)}.get(name, ("x", 1))
    logger = logging.Logger("x")
    bound = inspect.signature(getattr(logger, name)).bind(*arguments)
    assert bound.args == arguments
    assert (fast.__name__, inspect.getdoc(fast)) == (plain.__name__, inspect.getdoc(plain))
    assert callable(fast)
    assert inspect.isroutine(fast)


def test_create_autospec_of_a_logger_takes_its_calls(accelerated):
    # It does not look into methods in C: it lets wrong calls pass.
    logger = unittest.mock.create_autospec(logging.Logger)("name")
    logger.log(10, "x", extra={})
    logger.log.assert_called_once_with(10, "x", extra={})
    logger.info.assert_not_called()
    with pytest.raises(AttributeError):
        logger.no_such_method()


def test_loggers_and_their_methods_are_copied_and_pickled_as_ever(accelerated):
    logger = logging.getLogger("accelerate.pickled")
    assert copy.copy(logger) is logger
    assert copy.deepcopy(logger) is logger
    assert pickle.loads(pickle.dumps(logger)) is logger
    assert pickle.loads(pickle.dumps(logger.info)) == logger.info
    assert logger.info == logger.info


# ---- who logs


@pytest.mark.parametrize("name", ["debug", "info", "warning", "warn", "error", "critical", "fatal"])
@pytest.mark.filterwarnings("ignore:The 'warn' method")
def test_every_method_logs_at_its_level(both_ways, name):
    if not hasattr(logging.Logger, name):
        pytest.skip(f"this Python's Logger has no {name}()")
    [record] = both_ways(lambda log: getattr(log, name)("%s-%d", "x", 7)).records
    assert record["message"] == "x-7"


@pytest.mark.parametrize("name", ["debug", "info", "warning", "error", "critical"])
def test_functions_of_the_module_log_by_the_root_logger(both_ways, name):
    def log(logger):
        getattr(logging, name)("x %s", 1)
        logging.log(logging.INFO, "y")

    def arrange(logger, patch):
        patch.setattr(logging.root, "handlers", logger.handlers)
        patch.setattr(logging.root, "level", logging.DEBUG)
        patch.setattr(logging.root, "_cache", {})

    assert len(both_ways(log, arrange=arrange, path="fast").records) == 2


def test_an_adapter_logs_through_it(both_ways):
    def log(logger):
        adapter = logging.LoggerAdapter(logger, {"tenant": 7})
        adapter.info("x %s", 1)
        adapter.log(logging.ERROR, "y", extra={"mine": 1})
        adapter.warning("z", stacklevel=2)
        try:
            raise ValueError("bad")
        except ValueError:
            adapter.exception("failed")
        return adapter.isEnabledFor(10), adapter.hasHandlers()

    records = both_ways(log, path="fast").records
    assert [record["extra"] for record in records] == [{"tenant": 7}] * 4


@pytest.mark.skipif(sys.version_info < (3, 13), reason="merge_extra came with Python 3.13")
def test_an_adapter_that_merges_extras_logs_through_it(both_ways):
    def log(logger):
        logging.LoggerAdapter(logger, {"a": 1}, merge_extra=True).info("x", extra={"b": 2})

    [record] = both_ways(log, path="fast").records
    assert record["extra"] == {"a": 1, "b": 2}


def test_an_adapter_with_a_process_method_of_its_own(both_ways):
    class Tagged(logging.LoggerAdapter):
        def process(self, msg, kwargs):
            return f"[{self.extra['tag']}] {msg}", kwargs

    [record] = both_ways(lambda log: Tagged(log, {"tag": 7}).info("x %d", 1), path="fast").records
    assert record["message"] == "[7] x 1"


# ---- what is replaced


def spying(name, calls):
    """A method that notes that it was called."""

    def method(self, *args, **kwargs):
        calls.append(name)
        return getattr(super(type(self), self), name)(*args, **kwargs)

    return method


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("info", "fast"),
        ("error", "fast"),
        ("isEnabledFor", "fallback"),
        ("getEffectiveLevel", "fallback"),
        ("_log", "fallback"),
        ("makeRecord", "fallback"),
        ("findCaller", "fallback"),
        ("handle", "record_built"),
        ("filter", "record_built"),
        ("callHandlers", "record_built"),
    ],
)
def test_a_method_of_a_subclass_is_called(both_ways, name, path):
    calls = []
    kind = type("Spying", (logging.Logger,), {name: spying(name, calls)})

    def log(logger):
        calls.clear()
        logger.info("x %s", 1)
        if name == "error":
            logger.exception("x")
        return list(calls)

    outcome = both_ways(log, kind=kind, path=path)
    assert set(outcome.result) == {name}


@pytest.mark.parametrize("name", ["info", "error", "isEnabledFor", "getEffectiveLevel", *HOOKS])
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_patch_of_the_class_is_called_whenever_it_was_made(both_ways, name, moment):
    def patch_class(logger, patch):
        logger.calls = []
        original = getattr(logging.Logger, name)

        def patched(self, *args, **kwargs):
            logger.calls.append(name)
            return original(self, *args, **kwargs)

        patch.setattr(logging.Logger, name, patched)

    def log(logger):
        with pytest.MonkeyPatch.context() as patch:
            if moment == "after":
                patch_class(logger, patch)
            logger.info("x %s", 1)
            logger.exception("y")
            calls = list(logger.calls)
        logger.info("z")
        return calls

    outcome = both_ways(log, arrange=patch_class if moment == "before" else None)
    assert name in outcome.result
    assert len(outcome.records) == 3


@pytest.mark.parametrize("name", ["info", "error", "isEnabledFor", "getEffectiveLevel", *HOOKS])
def test_a_method_of_the_loggers_own_is_called_until_it_is_gone(both_ways, name):
    def log(logger):
        calls = []
        original = getattr(logger, name)

        def own(*args, **kwargs):
            calls.append(name)
            return original(*args, **kwargs)

        logger.info("before")
        setattr(logger, name, own)
        logger.info("x %s", 1)
        logger.exception("y")
        delattr(logger, name)
        logger.info("after")
        return calls

    outcome = both_ways(log)
    assert name in outcome.result
    assert outcome.paths.get("fast", 0) >= 2


def test_a_method_of_the_loggers_own_counts_where_an_attribute_is_a_property(both_ways):
    class Fixed(logging.Logger):
        level = property(lambda self: logging.DEBUG, lambda self, value: None)

    def log(logger):
        logger.manager = logging.root.manager
        logger.handle = seen.append
        logger.info("x")

    seen = []
    assert not both_ways(log, kind=Fixed).records
    assert len(seen) == 2


def test_a_logger_that_is_false_hands_out_nothing(both_ways):
    class Silent(logging.Logger):
        def __len__(self):
            return 0

    assert not both_ways(lambda log: log.info("x"), kind=Silent).records


@pytest.mark.parametrize("name", ["handle", "emit", "filter", "format", "handleError"])
def test_a_method_of_the_handlers_own_is_called_until_it_is_gone(both_ways, name):
    def log(logger):
        [handler] = logger.handlers
        calls = []
        original = getattr(handler, name)

        def own(record):
            calls.append(comparable(record))
            return original(record)

        logger.info("before")
        setattr(handler, name, own)
        logger.info("x %s", 1, extra={"a": 1})
        if name == "handleError":
            logger.info("x %d", "no number", extra={"a": 1})
        delattr(handler, name)
        logger.info("after")
        return calls

    outcome = both_ways(log)
    assert len(outcome.result) == 1
    assert outcome.paths["fast"] >= 2


@pytest.mark.parametrize("name", ["handle", "emit", "filter", "format"])
def test_a_patch_of_the_handlers_class_is_called(both_ways, name):
    def log(logger):
        calls = []
        original = getattr(LogAggregatorHandler, name)

        def patched(self, record):
            calls.append(name)
            return original(self, record)

        logger.info("before")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(LogAggregatorHandler, name, patched)
            logger.info("x %s", 1)
        logger.info("after")
        return calls

    outcome = both_ways(log)
    assert len(outcome.result) == 1
    assert len(outcome.records) == 3
    assert outcome.paths["fast"] == 2


@pytest.mark.parametrize(
    "function",
    [
        *(getattr(logging.Logger, name) for name in ("_log", *HOOKS) if name != "findCaller"),
        logging.LogRecord.__init__,
        logging.LogRecord.getMessage,
    ],
    ids=lambda function: function.__qualname__,
)
def test_another_code_of_a_function_is_run(both_ways, function):
    def log(logger):
        seen = logger.seen_codes = []
        logger.info("before")
        original = function.__code__
        namespace = {}
        exec(f"def {function.__name__}(self, *args, **kwargs): self.no_such_thing", namespace)
        function.__code__ = namespace[function.__name__].__code__
        try:
            logger.info("x %s", 1)
        except AttributeError as error:
            seen.append(str(error))
        finally:
            function.__code__ = original
        logger.info("after")
        return seen

    outcome = both_ways(log)
    if function is logging.LogRecord.getMessage:
        assert len(outcome.records) == 3
    else:
        assert "no_such_thing" in outcome.result[0]
    assert outcome.paths["fast"] == 2


def test_a_record_factory_makes_the_records(both_ways):
    def log(logger):
        original = logging.getLogRecordFactory()

        def factory(*args, **kwargs):
            record = original(*args, **kwargs)
            record.tenant = 7
            return record

        logger.info("before")
        logging.setLogRecordFactory(factory)
        try:
            logger.info("x")
        finally:
            logging.setLogRecordFactory(original)
        logger.info("after")

    outcome = both_ways(log)
    assert [record.get("extra") for record in outcome.records] == [None, {"tenant": 7}, None]
    assert outcome.paths == {"fast": 2, "fallback": 1}


def test_a_subclass_of_log_record_is_made_where_it_is_the_factory(both_ways):
    class Record(logging.LogRecord):
        def getMessage(self):
            return "mine: " + super().getMessage()

    def log(logger):
        logging.setLogRecordFactory(Record)
        try:
            logger.info("x %s", 1)
        finally:
            logging.setLogRecordFactory(logging.LogRecord)

    [record] = both_ways(log, path="fallback").records
    assert record["message"] == "mine: x 1"


@pytest.mark.parametrize("name", ["__init__", "getMessage", "__getattribute__", "__setattr__"])
def test_a_patch_of_log_record_is_called(both_ways, name):
    def log(logger):
        calls = []
        original = getattr(logging.LogRecord, name)

        def patched(self, *args, **kwargs):
            calls.append(name)
            return original(self, *args, **kwargs)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(logging.LogRecord, name, patched)
            logger.info("x %s", 1)
        logger.info("after")
        return set(calls)

    outcome = both_ways(log)
    assert outcome.result == {name}
    assert len(outcome.records) == 2


def test_a_new_of_log_record_is_called(run_python):
    # It cannot be undone without a trace.
    result = run_python(
        """
import logging
import log_aggregator_handler
log_aggregator_handler.accelerate()
calls = []
def new(cls, *args, **kwargs):
    calls.append(cls)
    return object.__new__(cls)
logger = logging.getLogger("x")
logger.addHandler(log_aggregator_handler.LogAggregatorHandler("http://127.0.0.1:9/"))
logging.LogRecord.__new__ = new
logger.warning("x")
print(len(calls))
logger.handlers[0].close_timeout = 0
import os; os._exit(0)
"""
    )
    assert result.stdout.strip() == "1" or "1" in result.stdout, result.stderr


@pytest.mark.parametrize(
    "switch", ["logThreads", "logProcesses", "logMultiprocessing", "logAsyncioTasks"]
)
def test_switches_of_logging_count(both_ways, switch):
    if not hasattr(logging, switch):
        pytest.skip(f"this Python's logging has no {switch}")

    def log(logger):
        logger.info("before")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(logging, switch, False)
            logger.info("x")
        logger.info("after")
        return others_saw(logger)

    assert both_ways(log).paths == {"fast": 2, "fallback": 1}
    both_ways(log, arrange=with_collector)


def test_without_a_source_file_callers_are_unknown(both_ways):
    def log(logger):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(logging, "_srcfile", None)
            logger.info("x")
        return others_saw(logger)

    [record] = both_ways(log, path="fallback").records
    assert record["funcName"] == "(unknown function)"
    both_ways(log, arrange=with_collector)


# ---- filters, levels, handlers


def drop(record):
    return False


def mark(record):
    record.marked = True
    return True


@pytest.mark.parametrize("place", ["logger", "handler"])
@pytest.mark.parametrize("keep", [drop, mark, logging.Filter("shop"), logging.Filter("other")])
def test_a_filter_counts_from_when_it_is_added_until_it_is_removed(both_ways, place, keep):
    def log(logger):
        where = logger if place == "logger" else logger.handlers[0]
        logger.info("before")
        where.addFilter(keep)
        logger.info("x")
        where.removeFilter(keep)
        logger.info("after")

    outcome = both_ways(log)
    assert outcome.paths["fast"] == 2
    assert len(outcome.records) == (
        2 if keep is drop or getattr(keep, "name", "") == "other" else 3
    )


@pytest.mark.skipif(sys.version_info < (3, 12), reason="filters return records since Python 3.12")
@pytest.mark.parametrize("place", ["logger", "handler"])
def test_a_filter_may_return_another_record(both_ways, place):
    def replace(record):
        other = copy.copy(record)
        other.msg = "other"
        return other

    def log(logger):
        (logger if place == "logger" else logger.handlers[0]).addFilter(replace)
        logger.info("x")
        return others_saw(logger)

    [record] = both_ways(log).records
    assert record["message"] == "other"
    both_ways(log, arrange=with_collector)


def test_a_filter_that_raises_reaches_the_caller(both_ways):
    def log(logger):
        logger.addFilter(lambda record: 1 / 0)
        logger.info("x")

    assert both_ways(log).error == (ZeroDivisionError, "division by zero")


@pytest.mark.parametrize("level", [0, 20, 21, 50, 10**30, -(10**30), True, -5])
def test_the_handlers_level_counts(both_ways, level):
    def log(logger):
        logger.handlers[0].setLevel(level)
        for number in (5, 10, 20, 30, 50):
            logger.log(number, "x")

    both_ways(log)


@pytest.mark.parametrize("level", [0, 10, 15, 20, "ERROR", 60, 10**30, -(10**30)])
def test_the_loggers_level_counts_from_the_call_after_the_change(both_ways, level):
    def log(logger):
        logger.info("before")
        logger.setLevel(level)
        for number in (5, 10, 20, 30, 50):
            logger.log(number, "x")
        logger.setLevel("DEBUG")
        logger.info("after")
        return [logger.isEnabledFor(number) for number in (5, 10, 20, True, 10**30, -(10**30))]

    both_ways(log)


def test_what_is_disabled_is_disabled(both_ways):
    def log(logger):
        logger.manager = logging.Manager(logging.RootLogger(30))
        logger.manager.loggerDict["shop.orders"] = logger
        logger.info("1")
        logger.disabled = True
        logger.info("no")
        logger.disabled = False
        logger.manager.disable = logging.INFO
        logger.manager._clear_cache()
        logger.info("no")
        logger.warning("2")
        logger.manager.disable = logging.NOTSET
        logger.manager._clear_cache()
        logger.info("3")
        logger.disabled = 1
        logger.info("no")
        logger.disabled = 0
        logger.info("4")

    records = both_ways(log, path="fast").records
    assert [record["message"] for record in records] == ["1", "2", "3", "4"]


def test_logging_disable_counts(both_ways):
    def log(logger):
        named = logging.getLogger("accelerate.disable")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(named, "handlers", logger.handlers)
            patch.setattr(named, "propagate", False)
            named.warning("1")
            logging.disable(logging.WARNING)
            named.warning("no")
            named.error("2")
            logging.disable(logging.NOTSET)
            named.warning("3")

    records = both_ways(log, path="fast").records
    assert [record["message"] for record in records] == ["1", "2", "3"]


def test_records_go_up_while_propagate_says_so(both_ways):
    def log(logger):
        [handler] = logger.handlers
        parent = logging.Logger("shop", logging.WARNING)
        logger.parent = parent
        logger.removeHandler(handler)
        parent.addHandler(handler)
        for propagate in (True, False, 1, 0, [], "yes"):
            logger.propagate = propagate
            logger.error("%r", propagate)
        grandparent = logging.Logger("", logging.WARNING)
        parent.parent = grandparent
        parent.removeHandler(handler)
        grandparent.addHandler(handler)
        logger.propagate = True
        logger.info("grandparent")
        parent.propagate = False
        logger.critical("no")
        parent.disabled = True  # which does not concern records of children
        parent.propagate = True
        logger.info("once more")

    messages = [record["message"] for record in both_ways(log).records]
    assert messages == ["True", "1", "'yes'", "grandparent", "once more"]


def test_handlers_come_and_go(both_ways):
    def log(logger):
        [ours] = logger.handlers
        other = Collector(logging.WARNING)
        logger.info("1")
        logger.addHandler(other)
        logger.info("2")
        logger.error("3")
        logger.removeHandler(ours)
        logger.error("other only")
        logger.handlers = [ours]
        logger.info("4")
        logger.handlers = (ours,)
        logger.info("5")
        logger.handlers = [ours, logging.NullHandler()]
        logger.info("6")
        return other.seen()

    outcome = both_ways(log)
    assert [record["message"] for record in outcome.records] == list("123456")
    assert outcome.paths == {"fast": 3, "record_built": 3}


def test_two_handlers_of_ours_see_every_record(both_ways, make_handler):
    def log(logger):
        logger.addHandler(make_handler(fields={"second": True}))
        logger.info("x")
        logger.handlers[-1].flush()

    records = both_ways(log, path="record_built").records
    assert [record.get("second") for record in records] in ([None, True], [True, None])


def test_a_stream_handler_beside_prints_what_it_did(both_ways):
    def log(logger):
        logger.addHandler(handler := logging.StreamHandler(sys.stderr))
        handler.setFormatter(
            logging.Formatter("%(levelname)s %(name)s %(filename)s %(lineno)d %(funcName)s "
                              "%(process)d %(thread)d %(threadName)s %(message)s")
        )  # fmt: skip
        logger.info("x %s", 1, extra={"a": 1})
        try:
            raise ValueError("bad")
        except ValueError:
            logger.exception("failed", stack_info=True)

    assert "INFO shop.orders test_accelerate.py" in both_ways(log, path="record_built").stderr


def test_a_null_handler_beside_costs_no_record(both_ways):
    both_ways(lambda log: log.info("x"), arrange=lambda log, _: log.addHandler(logging.NullHandler()), path="fast")  # fmt: skip


def test_a_null_handler_whose_handle_was_replaced_sees_records(both_ways):
    def log(logger):
        seen = []
        logger.addHandler(null := logging.NullHandler())
        null.handle = lambda record: seen.append(comparable(record))
        logger.info("x %s", 1)
        del null.handle
        logger.info("y")
        return seen

    outcome = both_ways(log)
    assert len(outcome.result) == 1
    assert outcome.paths == {"fast": 1, "record_built": 1}


def test_a_patch_of_null_handler_sees_records(both_ways):
    def log(logger):
        seen = []
        logger.addHandler(logging.NullHandler())
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(logging.NullHandler, "handle", lambda self, r: seen.append(comparable(r)))
            logger.info("x %s", 1)
        return seen

    assert len(both_ways(log, path="record_built").result) == 1


def test_without_a_handler_the_last_resort_prints(both_ways):
    def log(logger):
        logger.handlers.clear()
        logger.info("no")
        logger.warning("to stderr %s", 1)

    assert both_ways(log).stderr.endswith("to stderr 1\n")


def test_a_handler_that_is_none_of_loggings_is_called(both_ways):
    class Duck:
        level = logging.NOTSET

        def __init__(self):
            self.seen = []

        def handle(self, record):
            self.seen.append(comparable(record))

    def log(logger):
        logger.addHandler(duck := Duck())
        logger.info("x %s", 1)
        return duck.seen

    assert len(both_ways(log, path="record_built").result) == 1


def test_a_formatter_makes_the_message(both_ways):
    def log(logger):
        logger.handlers[0].setFormatter(logging.Formatter("%(funcName)s: %(message)s"))
        logger.info("x %s", 1)
        logger.handlers[0].setFormatter(None)
        logger.info("y")

    outcome = both_ways(log)
    assert [record["message"] for record in outcome.records] == ["log: x 1", "y"]
    assert outcome.paths == {"record_built": 1, "fast": 1}


# ---- where the call stands


def deeper(depth, log):
    return deeper(depth - 1, log) if depth else log()


@pytest.mark.parametrize("stacklevel", [1, 2, 3, 4, 5, 40, 10_000, 10**7, 0, -1, True, 2.0, None])
def test_stacklevel_finds_the_same_place(both_ways, stacklevel):
    def log(logger):
        deeper(3, lambda: logger.info("x", stacklevel=stacklevel))
        deeper(3, lambda: logger.warning("x", stacklevel=stacklevel, stack_info=True))
        deeper(2, lambda: logging.LoggerAdapter(logger, {}).info("x", stacklevel=stacklevel))
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
        *({name: 1} for name in ("message", "asctime", "name", "msg", "args", "levelname", "levelno",
                                 "pathname", "lineno", "exc_info", "taskName", "process", "created")),
        {}, {"a": 1}, Mapping(a=1), Dict(a=1), types.MappingProxyType({"a": 1}),
        collections.OrderedDict(a=1), {1: 2}, {None: 1, "a": 2}, {("a",): 1}, {"": 1}, {"ü\udc80": 1},
        [], ["a"], "ab", 5, object, {"a": {"b": [1, 2.5, None, {3}]}}, {"level": 1, "host": 2},
        {"self": 1}, {str.__new__(type("S", (str,), {}), "a"): 1},
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
    SubStr("x"), ReturnsSub(), ValueError("bad %s"), "", "plain", "%", "100%", "%%", "%s", "%d", "%i",
    "%r", "%a", "%c", "%x", "%5s|%-5s", "%.2f", "%(a)s", "%(a)s %s", "%s %s", "%z", "% s", "%ls", "%*d",
    "ü %s", "\udc80 %s", "\x00\x1f\x7f %s", "%s" * 20, "x" * 100_000 + "%s",
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
        try:
            expected = without_surrogates(record.getMessage())
        except Exception as error:
            assert errors.pop(0)[2:] == (type(error), str(error))
            assert f"[not formatted: {type(error).__name__}" in message
            errors.pop(0)
        else:
            assert message == expected
    assert not errors
    assert handler.stats()["paths"]["fast"] == len(ARGS)


def without_surrogates(text):
    return "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in text)


ARGS = [
    (), ("text",), (5,), (2.5,), (None,), (True,), ("a", "b"), ({"a": 1},), ({},), (Mapping(a=1),),
    (Mapping(),), ((),), (("t", 1),), ([1],), (10**30,), (Odd(),), (Sub("s"),), (b"b",), ("\udc80\x00ü",),
    (Colour.RED,), ({"a": 1}, {"b": 2}), tuple(range(20)), (-(2**63),), (2**63,),
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
    [("%d", "no number"), ("%s",), ("%s %s", 1), ("x", 1), ("%(a)s", {"b": 1}), ("%s", Raises(ValueError("bad"))),
     (Raises(ValueError("bad")),), (Raises(ValueError("bad")), 1), ("%s", Raises(RecursionError("deep")))],
    ids=["type", "none", "few", "many", "key", "str", "msg", "msg and args", "recursion"],
)  # fmt: skip
def test_what_cannot_be_formatted_is_delivered_and_reported_once(
    both_ways, monkeypatch, raise_exceptions, args
):
    monkeypatch.setattr(logging, "raiseExceptions", raise_exceptions)
    outcome = both_ways(
        lambda log: log.info(*args) if args[1:] or not isinstance(args[0], str) else None
    )
    if not outcome.paths:
        return  # "%s" alone is no error
    assert outcome.paths == {"fast": 1}
    assert "[not formatted: " in outcome.records[0]["message"]
    assert outcome.stderr.count("--- Logging error ---") == raise_exceptions
    assert ("in log" in outcome.stderr or "in <lambda>" in outcome.stderr) == raise_exceptions


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
    assert [record["message"].split()[0] for record in records] == ["inner"] * 3 + ["outer"]
    both_ways(log, arrange=with_collector, path="record_built")


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


@pytest.mark.parametrize(
    ("module", "name", "value", "field", "expected"),
    [
        (os, "getpid", lambda: 4711, "process", 4711),
        (threading, "current_thread", lambda: types.SimpleNamespace(name="mocked"), "threadName", "mocked"),
        (multiprocessing, "current_process", lambda: types.SimpleNamespace(name="mocked"), "processName", "mocked"),
    ],
)  # fmt: skip
def test_a_patch_of_what_records_are_made_of_is_honoured(
    both_ways, module, name, value, field, expected
):
    def log(logger):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, name, value)
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


# ---- helpers of tests and configurations


def test_assert_logs_sees_what_is_logged(both_ways):
    def log(logger):
        case = unittest.TestCase()
        logger.info("before")
        with case.assertLogs(logger, "INFO") as caught:
            logger.info("x %s", 1)
            logger.debug("no")
        logger.info("after")
        return caught.output, [comparable(record) for record in caught.records]

    outcome = both_ways(log)
    assert outcome.result[0] == ["INFO:shop.orders:x 1"]
    assert outcome.paths == {"fast": 2}


@pytest.mark.skipif(sys.version_info < (3, 10), reason="assertNoLogs came with Python 3.10")
def test_assert_no_logs_sees_what_is_logged(both_ways):
    def log(logger):
        with unittest.TestCase().assertNoLogs(logger, "INFO"):
            logger.debug("fine")
            logger.info("x %s", 1)

    assert both_ways(log).error[0] is AssertionError


def test_caplog_sees_what_is_logged(caplog, make_handler, accelerated):
    logger = logging.getLogger("accelerate.caplog")
    logger.addHandler(handler := make_handler())
    try:
        with caplog.at_level(logging.INFO, "accelerate.caplog"):
            logger.info("x %s", 1, extra={"a": 7})
    finally:
        logger.removeHandler(handler)
    assert caplog.record_tuples == [("accelerate.caplog", logging.INFO, "x 1")]
    assert caplog.records[0].a == 7
    assert caplog.messages == ["x 1"]
    assert handler.stats()["paths"] == {"fast": 0, "record_built": 1, "fallback": 0}


def test_configurations_made_while_on_count(run_python, log_api, tmp_path):
    ini = tmp_path / "logging.ini"
    ini.write_text(
        f"""[loggers]
keys=root,ini
[handlers]
keys=ours
[formatters]
keys=
[logger_root]
level=WARNING
handlers=
[logger_ini]
level=INFO
handlers=ours
propagate=0
qualname=ini
[handler_ours]
class=log_aggregator_handler.LogAggregatorHandler
args=({log_api.endpoint!r},)
"""
    )
    result = run_python(
        """
import logging, logging.config, sys
import log_aggregator_handler
log_aggregator_handler.accelerate()
early = logging.getLogger("early")
early.addHandler(logging.NullHandler())
early.info("nothing")
logging.config.dictConfig({
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"ours": {"class": "log_aggregator_handler.LogAggregatorHandler",
                          "api_endpoint": sys.argv[1]}},
    "root": {"level": "INFO", "handlers": ["ours"]},
    "loggers": {"quiet": {"level": "ERROR"}},
})
early.info("early")
logging.getLogger("quiet").info("no")
logging.getLogger("late").info("late")
paths = logging.root.handlers[0].stats()["paths"]
logging.config.fileConfig(sys.argv[2])
early.info("disabled by fileConfig")
logging.getLogger("ini").info("ini")
print(paths, logging.getLogger("ini").handlers[0].stats()["paths"])
""",
        log_api.endpoint,
        str(ini),
    )
    assert result.returncode == 0, result.stderr
    assert [record["message"] for record in log_api.records] == ["early", "late", "ini"]
    assert result.stdout.count("'fast': 2") == 1, result.stdout


def test_shutdown_delivers_what_was_logged(log_api, make_handler, logger, accelerated):
    logger.addHandler(handler := make_handler(flush_interval=60))
    logger.info("x")
    logging.shutdown([weakref.ref(handler)])
    assert len(log_api.records) == 1
    logger.info("too late")
    assert handler.stats()["dropped"]["closed"] == 1


def test_warnings_are_captured(both_ways):
    import warnings

    def log(logger):
        target = logging.getLogger("py.warnings")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(target, "handlers", logger.handlers)
            patch.setattr(target, "propagate", False)
            logging.captureWarnings(True)
            try:
                warnings.simplefilter("always")
                warnings.warn("careful", UserWarning, stacklevel=1)
            finally:
                logging.captureWarnings(False)

    [record] = both_ways(log).records
    assert "careful" in record["message"]


# ---- memory


def test_what_a_fast_call_has_used_is_let_go(log_api):
    class Value:
        pass

    accelerate()
    gone = []
    logger = logging.Logger("".join(["short", "-lived"]), logging.DEBUG)
    handler = LogAggregatorHandler(log_api.endpoint)
    logger.addHandler(handler)
    value = Value()

    def work():
        logger.info("x %s", value, extra={"value": value, "more": [value]})
        try:
            raise ValueError(value)
        except ValueError:
            logger.exception("y %s", value)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert handler.stats()["paths"]["fast"] == 2
    gone = [weakref.ref(item) for item in (logger, handler, value, thread)]
    handler.close()
    del logger, handler, value, thread, work
    gc.collect()
    assert [reference() for reference in gone] == [None] * 4


@pytest.mark.parametrize("beside", [None, Collector])
def test_ten_thousand_calls_leave_no_references_behind(make_handler, logger, accelerated, beside):
    logger.addHandler(make_handler())
    if beside:
        logger.addHandler(other := beside())
        other.emit = lambda record: None
    text, extra, name = "".join(["a", "b"]), {"key": object()}, "".join(["l", "ogger"])
    logger.name = name
    counted = [
        text,
        extra,
        extra["key"],
        name,
        logger,
        logging.LogRecord,
        threading.current_thread(),
    ]
    logger.info("%s", text, extra=extra)
    before = [sys.getrefcount(item) for item in counted]
    for _ in range(10_000):
        logger.info("%s", text, extra=extra)
        logger.log(5, "disabled %s", text)
        logger.info("%d", text) if beside is None and _ < 3 else None
    after = [sys.getrefcount(item) for item in counted]
    assert [b - a for a, b in zip(before, after, strict=True)] == pytest.approx([0] * 7, abs=5)
