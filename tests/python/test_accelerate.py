"""accelerate(): a log call does what it does without, on whatever path. `both_ways` compares."""

from __future__ import annotations

import copy
import gc
import inspect
import logging
import pickle
import sys
import threading
import types
import unittest
import unittest.mock
import weakref

import pytest

from log_aggregator_handler import LogAggregatorHandler, accelerate, decelerate
from python.both_ways import Collector, comparable, others_saw, with_collector

METHODS = [
    "debug", "info", "warning", "error", "exception", "critical", "log", "isEnabledFor",
    "findCaller",
]  # fmt: skip
HOOKS = ["_log", "makeRecord", "findCaller", "handle", "filter", "callHandlers"]


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


@pytest.mark.parametrize("name", ["_log", "handle", "callHandlers", "getMessage"])
def test_a_function_that_was_wrapped_within_its_code_before_is_called(both_ways, name):
    """As some tools do it: file and name of the code stay, a constant is what they call."""
    calls = []

    def arrange(logger, patch):
        calls.clear()
        where = logging.LogRecord if name == "getMessage" else logging.Logger
        function = getattr(where, name)
        original = types.FunctionType(
            function.__code__, function.__globals__, name, function.__defaults__
        )

        def wrapper(*args, **kwargs):
            calls.append(name)
            return original(*args, **kwargs)

        namespace = {}
        exec(f"def {name}(*a, **k):\n  f = 'the wrapper'\n  return f(*a, **k)", namespace)
        code = namespace[name].__code__
        constants = tuple(wrapper if c == "the wrapper" else c for c in code.co_consts)
        code = code.replace(co_consts=constants, co_filename=logging._srcfile)
        patch.setattr(function, "__code__", code)

    def log(logger):
        logger.info("x %s", 1)
        return list(calls)

    assert both_ways(log, arrange=arrange).result == [name]


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


def test_a_new_of_log_record_is_called(run_python, log_api):
    # In a process of its own: it cannot be undone without a trace.
    result = run_python(
        """
import logging, sys
import log_aggregator_handler
log_aggregator_handler.accelerate()
calls = []
def new(cls, *args, **kwargs):
    calls.append(cls)
    return object.__new__(cls)
logger = logging.getLogger("x")
logger.addHandler(log_aggregator_handler.LogAggregatorHandler(sys.argv[1]))
logger.warning("x")
logging.LogRecord.__new__ = new
logger.warning("y")
print(len(calls))
""",
        log_api.endpoint,
    )
    assert result.stdout == "1\n", result.stderr
    assert [record["message"] for record in log_api.records] == ["x", "y"]


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
    def log(logger):
        logger.addHandler(logging.NullHandler())
        logger.info("x")

    both_ways(log, path="fast")


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
    logger = logging.Logger("".join(["short", "-lived"]), logging.DEBUG)
    handler = LogAggregatorHandler(log_api.endpoint)
    logger.addHandler(handler)
    value = Value()

    def work(logger, value):
        logger.info("x %s", value, extra={"value": value, "more": [value]})
        try:
            raise ValueError(value)
        except ValueError:
            logger.exception("y %s", value)

    thread = threading.Thread(target=work, args=(logger, value))
    thread.start()
    thread.join()
    assert handler.stats()["paths"]["fast"] == 2
    gone = [weakref.ref(item) for item in (logger, handler, value, thread)]
    handler.close()
    del logger, handler, value, thread
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
