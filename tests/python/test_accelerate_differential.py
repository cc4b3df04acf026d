"""Random log calls: what comes of them with accelerate() is what comes of them without.

Most are such as programs make; what is rare in programs is rare here, so that nine in ten take the
fast path, which is asserted. LOG_AGGREGATOR_TEST_SEED repeats a run.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import logging
import os
import random
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from log_aggregator_handler import LogAggregatorHandler, accelerate, decelerate
from log_aggregator_handler.testing import LogApi
from python.both_ways import Collector, Outcome, assert_same, observe, safe_repr

EXAMPLES = int(os.environ.get("LOG_AGGREGATOR_SOAK", "1")) * 400
SEED = int(os.environ.get("LOG_AGGREGATOR_TEST_SEED") or random.SystemRandom().randrange(1 << 32))

# ---- objects that are no plain values


class Thing:
    """Has its own str() and repr()."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __str__(self) -> str:
        return f"thing {self.text}"

    def __repr__(self) -> str:
        return f"Thing({self.text!r})"


class Raising(Thing):
    """Its str() raises."""

    def __str__(self) -> str:
        raise ValueError(self.text)


class Interrupting(Thing):
    """Its str() raises what is no Exception."""

    def __str__(self) -> str:
        raise KeyboardInterrupt(self.text)


class Unprintable(Thing):
    """Nothing can be said of it."""

    def __str__(self) -> str:
        raise ValueError(self.text)

    def __repr__(self) -> str:
        raise TypeError(self.text)


class Text(str):
    """A subclass of str."""


class Table(collections.UserDict):
    """A mapping that is no dict."""


THINGS = (Thing, Raising, Interrupting, Unprintable, Text)

# ---- loggers


class Plain(logging.Logger):
    """Overrides nothing."""


class Wrapping(logging.Logger):
    """Overrides what is called first."""

    def info(self, msg: object, *args: object, **kwargs: Any) -> None:
        super().info(msg, *args, **kwargs)


class Making(logging.Logger):
    """Makes records of its own."""

    def makeRecord(self, *args: Any, **kwargs: Any) -> logging.LogRecord:
        record = super().makeRecord(*args, **kwargs)
        record.made = True
        return record


class Handling(logging.Logger):
    """Has its own handle()."""

    def handle(self, record: logging.LogRecord) -> None:
        record.handled = True
        super().handle(record)


# ---- cases


def mostly(usual: Any, rare: st.SearchStrategy[Any], one_in: int) -> st.SearchStrategy[Any]:
    """`usual`, a value or a strategy; but `rare` once in a while."""
    if not isinstance(usual, st.SearchStrategy):
        usual = st.just(usual)
    return st.sampled_from([usual] * (one_in - 1) + [rare]).flatmap(lambda chosen: chosen)


texts = st.text(st.characters(), max_size=30)  # lone surrogates and controls, too
numbers = st.one_of(st.integers(), st.integers(-100, 100), st.floats(), st.booleans())
things = st.builds(lambda kind, text: kind(text), st.sampled_from(THINGS), texts)
values = st.recursive(
    st.one_of(st.none(), texts, numbers, st.binary(max_size=8), things),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(texts, inner, max_size=3),
        st.tuples(inner, inner),
    ),
    max_leaves=5,
)
conversions = st.sampled_from(
    ["%s", "%s", "%s", "%d", "%r", "%i", "%%", "%5s", "%.2f", "%x", "%a", "%", "%(a)s", "%c"]
)


@st.composite
def calls_with_format(draw: Any) -> tuple[object, tuple[object, ...]]:
    """msg and args that mostly fit each other."""
    parts = draw(st.lists(st.one_of(texts, conversions), max_size=6))
    args = []
    for part in parts:
        if part in ("%d", "%i", "%x"):
            args.append(draw(mostly(st.integers(), values, 20)))
        elif part == "%.2f":
            args.append(draw(mostly(st.floats(), values, 20)))
        elif part.startswith("%") and part not in ("%", "%%"):
            args.append(draw(values))
    return "".join(parts), tuple(args)


messages = mostly(
    st.one_of(
        calls_with_format(),
        st.tuples(texts, st.just(())),
        st.tuples(texts, st.lists(values, max_size=3).map(tuple)),
        st.tuples(
            st.just("%(a)s and %(b)r"), st.tuples(st.fixed_dictionaries({"a": values, "b": values}))
        ),
    ),
    st.tuples(
        values,
        st.one_of(
            st.just(()),
            st.tuples(st.dictionaries(texts, values, max_size=2)),
            st.tuples(st.dictionaries(texts, values, max_size=2).map(Table)),
        ),
    ),
    10,
)
names = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12)
ordinary_extras = st.one_of(st.none(), st.dictionaries(names, values, max_size=4))
strange_extras = st.one_of(
    st.dictionaries(st.sampled_from(["message", "name", "args", "taskName", "a"]), values),
    st.dictionaries(st.one_of(st.integers(), st.none()), values, max_size=2),
    st.dictionaries(texts, values, max_size=2).map(Table),
    st.just([]),
)
ordinary_exc_infos = st.sampled_from([None, None, None, True, False, 1, 0, "current", "tuple"])
strange_exc_infos = st.sampled_from(["text", (None, None, None), (1, 2), (), ValueError])
ordinary_levels = st.sampled_from([10, 20, 30, 40, 50])
strange_levels = st.one_of(
    st.integers(-5, 60), st.sampled_from([True, 2**31, -(2**40), "INFO", 20.0])
)


def mark(record: logging.LogRecord) -> bool:
    record.marked = True
    return True


def drop(record: logging.LogRecord) -> bool:
    return False


class Record(logging.LogRecord):
    """Of a factory."""

    def getMessage(self) -> str:
        return "mine: " + super().getMessage()


def decorating(*args: Any, **kwargs: Any) -> logging.LogRecord:
    record = logging.LogRecord(*args, **kwargs)
    record.decorated = {"deep": [1, None]}
    return record


filters = st.sampled_from([mark, drop, logging.Filter("app")])


@dataclasses.dataclass
class Case:
    method: str
    level: object
    message: tuple[object, tuple[object, ...]]
    extra: object
    exc_info: object
    stacklevel: object
    stack_info: bool
    name: str
    kind: type[logging.Logger]
    logger_level: int
    below: bool  # the handlers are those of the logger's parent
    logger_filter: Callable[[logging.LogRecord], bool] | None
    handler_filter: Callable[[logging.LogRecord], bool] | None
    handler_level: int
    factory: Callable[..., logging.LogRecord]
    thread_name: str
    null_handler: bool
    collector: bool
    formatter: logging.Formatter | None
    depth: int


def make_cases(one_in: int) -> st.SearchStrategy[Case]:
    """Of each kind of thing that is rare in programs, one in so many."""
    return st.builds(
        Case,
        method=st.sampled_from(
            ["debug", "info", "info", "warning", "error", "exception", "critical", "log"]
        ),
        level=mostly(ordinary_levels, strange_levels, one_in),
        message=messages,
        extra=mostly(ordinary_extras, strange_extras, one_in),
        exc_info=mostly(ordinary_exc_infos, strange_exc_infos, one_in),
        stacklevel=mostly(
            st.sampled_from([1, 1, 1, 2, 3, 50]),
            st.sampled_from([0, -1, True, 10**9, 2.0]),
            one_in,
        ),
        stack_info=mostly(False, st.just(True), one_in),
        name=mostly(st.sampled_from(["app", "app.orders", "root"]), texts, one_in),
        kind=mostly(
            st.sampled_from([logging.Logger, Plain, Wrapping]),
            st.sampled_from([Making, Handling]),
            one_in,
        ),
        logger_level=st.sampled_from([0, 10, 10, 10, 20, 30]),
        below=st.booleans(),
        logger_filter=mostly(None, filters, one_in),
        handler_filter=mostly(None, filters, one_in),
        handler_level=st.sampled_from([0, 0, 0, 20, 40]),
        factory=mostly(logging.LogRecord, st.sampled_from([Record, decorating]), one_in),
        thread_name=mostly("MainThread", texts, 10),
        null_handler=st.sampled_from([False, False, False, True]),
        collector=mostly(False, st.just(True), one_in),
        formatter=mostly(None, st.just(logging.Formatter("%(name)s %(message)s")), one_in),
        depth=st.integers(0, 3),
    )


# ---- running them


def call(case: Case, logger: logging.Logger) -> None:
    """The log call of a case: the only place where there is one."""
    if case.depth:
        return call(dataclasses.replace(case, depth=case.depth - 1), logger)
    msg, args = case.message
    options: dict[str, Any] = {}
    if case.extra is not None:
        options["extra"] = case.extra
    if case.exc_info is not None:
        options["exc_info"] = case.exc_info
    if case.stacklevel != 1:
        options["stacklevel"] = case.stacklevel
    if case.stack_info:
        options["stack_info"] = True
    if case.method == "log":
        args = (msg, *args)
        msg = case.level
    try:
        raise LookupError("handled just now", 7)
    except LookupError as error:
        if case.exc_info == "current":
            options["exc_info"] = error
        elif case.exc_info == "tuple":
            options["exc_info"] = sys.exc_info()
        getattr(logger, case.method)(msg, *args, **options)


@contextlib.contextmanager
def circumstances(case: Case, ours: LogAggregatorHandler) -> Iterator[tuple[Any, Collector]]:
    logger = case.kind(case.name, case.logger_level)
    holder = logger
    if case.below:
        holder = logger.parent = logging.Logger("parent")
    collector = Collector()
    holder.addHandler(ours)
    if case.null_handler:
        holder.addHandler(logging.NullHandler())
    if case.collector:
        holder.addHandler(collector)
    if case.logger_filter:
        logger.addFilter(case.logger_filter)
    if case.handler_filter:
        ours.addFilter(case.handler_filter)
    ours.setLevel(case.handler_level)
    ours.setFormatter(case.formatter)
    if case.factory is not logging.LogRecord:
        logging.setLogRecordFactory(case.factory)
    thread = threading.current_thread()
    thread_name, thread.name = thread.name, case.thread_name
    try:
        yield logger, collector
    finally:
        thread.name = thread_name
        logging.setLogRecordFactory(logging.LogRecord)
        if case.handler_filter:
            ours.removeFilter(case.handler_filter)


def run(case: Case, ours: LogAggregatorHandler, turn: Callable[[], None]) -> Outcome:
    before = ours.stats()["paths"]
    with circumstances(case, ours) as (logger, collector):
        turn()
        try:
            outcome = observe(lambda: call(case, logger))
        finally:
            decelerate()
            assert ours.flush(), ours.stats()
    after = ours.stats()["paths"]
    outcome.result = collector.seen()
    outcome.paths = {name: after[name] - before[name] for name in after}
    return outcome


def without_time(record: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name != "timestamp"}


@pytest.fixture(scope="module")
def api() -> Iterator[LogApi]:
    with LogApi() as api:
        yield api


def compare(api: LogApi, cases: st.SearchStrategy[Case]) -> collections.Counter[str]:
    """The ways that the records have taken with accelerate()."""
    print(f"LOG_AGGREGATOR_TEST_SEED={SEED}")
    ours = LogAggregatorHandler(api.endpoint, flush_interval=0, retry_delay=0.01)
    taken: collections.Counter[str] = collections.Counter()

    @seed(SEED)
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=cases)
    def compare_one(case: Case) -> None:
        outcomes = []
        for turn in (decelerate, accelerate):
            api.clear()
            outcomes.append(run(case, ours, turn))
            outcomes[-1].records = [without_time(record) for record in api.records]
        plain, fast = outcomes
        assert_same(fast, plain)
        assert plain.paths["fast"] == plain.paths["record_built"] == 0
        assert sum(fast.paths.values()) == sum(plain.paths.values())
        taken.update(fast.paths)
        compare_message(case, fast)

    try:
        compare_one()
    finally:
        ours.close()
    print(f"{EXAMPLES} examples, {sum(taken.values())} records: {dict(taken)}")
    assert sum(taken.values()) > EXAMPLES / 3
    return taken


def test_calls_as_programs_make_them_arrive_as_without_nine_in_ten_of_them_fast(
    api: LogApi,
) -> None:
    taken = compare(api, make_cases(one_in=200))
    assert taken["fast"] >= 0.9 * sum(taken.values())


def test_strange_calls_arrive_as_without_by_all_paths(api: LogApi) -> None:
    taken = compare(api, make_cases(one_in=8))
    assert min(taken.values()) >= 20


def compare_message(case: Case, outcome: Outcome) -> None:
    """That the message is what getMessage() makes, which is not ours."""
    if len(outcome.records) != 1 or case.formatter or case.factory is Record:
        return
    msg, args = case.message
    try:
        expected = logging.LogRecord("", 0, "", 0, msg, args, None).getMessage()
    except BaseException:
        assert "[not formatted: " in outcome.records[0]["message"], safe_repr(msg)
        return
    surrogates = range(0xD800, 0xE000)
    clean = "".join("\ufffd" if ord(c) in surrogates else c for c in expected)
    assert outcome.records[0]["message"] == clean
