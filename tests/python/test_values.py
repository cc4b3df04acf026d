"""Values of any kind, hostile ones too: the JSON form of extras, and what is bounded."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import enum
import json
import logging
import math
import pathlib
import re
import sys
import types
import uuid

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from log_aggregator_handler import LogAggregatorHandler


@pytest.fixture(scope="module")
def handler():
    """One that is never asked to send: format_record() shows the record as it would be sent."""
    handler = LogAggregatorHandler("http://127.0.0.1:9/api/logs", close_timeout=0)
    yield handler
    handler.close()


@pytest.fixture(scope="module")
def as_json(handler):
    """The JSON form of a value as an extra."""

    def convert(value):
        record = logging.LogRecord("app", 20, "f.py", 1, "m", (), None)
        record.value = value
        return handler.format_record(record)["extra"]["value"]

    return convert


class Color(enum.Enum):
    RED = "red"
    TWO = 2


class Number(enum.IntEnum):
    ONE = 1


class Text(str, enum.Enum):
    A = "a"


class Flags(enum.Flag):
    X = 1
    Y = 2


@dataclasses.dataclass
class Point:
    x: int
    y: object = None
    hidden: int = dataclasses.field(default=3, repr=False)


@dataclasses.dataclass
class Slotted:
    __slots__ = ("name",)
    name: str


Pair = collections.namedtuple("Pair", "left right")


class StrSubclass(str):
    def __str__(self):
        return "never asked"


class IntSubclass(int):
    def __repr__(self):
        return "never asked"


class OwnSequence(collections.abc.Sequence):
    def __getitem__(self, index):
        return [10, 20][index]

    def __len__(self):
        return 2


class OwnMapping(collections.abc.Mapping):
    def __getitem__(self, key):
        return {"a": 1, "b": [2]}[key]

    def __iter__(self):
        return iter(["a", "b"])

    def __len__(self):
        return 2


class Indexable:
    def __index__(self):
        return 7


class WithRepr:
    def __repr__(self):
        return "WithRepr(é)"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("text", "text"),
        ("", ""),
        ("nul \0 and é 😀", "nul \0 and é 😀"),
        (0, 0),
        (-(2**63), -(2**63)),
        (2**63 - 1, 2**63 - 1),
        (2**64, 2**64),
        (-(10**100), -(10**100)),
        (True, True),
        (False, False),
        (None, None),
        (1.5, 1.5),
        (3.0, 3.0),
        (5e-324, 5e-324),
        (sys.float_info.max, sys.float_info.max),
        (-0.0, -0.0),
        (float("nan"), None),
        (float("inf"), None),
        (float("-inf"), None),
        ([], []),
        ((), []),
        ({}, {}),
        ([1, [2, (3, [4])]], [1, [2, [3, [4]]]]),
        ({"a": {"b": [None]}}, {"a": {"b": [None]}}),
        ({1: "int", None: "none", 2.5: "float", (1, 2): "tuple"},
         {"1": "int", "None": "none", "2.5": "float", "(1, 2)": "tuple"}),
        (StrSubclass("sub"), "sub"),
        (IntSubclass(5), 5),
        (type("F", (float,), {})(2.5), 2.5),
        (collections.OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
        (collections.defaultdict(list, a=[1]), {"a": [1]}),
        (collections.Counter("aab"), {"a": 2, "b": 1}),
        (collections.deque([1, 2]), [1, 2]),
        (Pair(1, "two"), [1, "two"]),
        (range(3), [0, 1, 2]),
        ({7}, [7]),
        (frozenset([7]), [7]),
        ({"k": 1}.keys(), ["k"]),
        (types.MappingProxyType({"a": 1}), {"a": 1}),
        (collections.ChainMap({"a": 1}), {"a": 1}),
        (OwnSequence(), [10, 20]),
        (OwnMapping(), {"a": 1, "b": [2]}),
        (Indexable(), 7),
        (datetime.datetime(2025, 3, 27, 8, 2, 51, 123456), "2025-03-27T08:02:51.123456"),
        (datetime.datetime(2025, 3, 27, tzinfo=datetime.timezone.utc),
         "2025-03-27T00:00:00+00:00"),
        (datetime.date(2025, 3, 27), "2025-03-27"),
        (datetime.time(8, 2), "08:02:00"),
        (uuid.UUID(int=5), "00000000-0000-0000-0000-000000000005"),
        (decimal.Decimal("1.10"), "1.10"),
        (decimal.Decimal("NaN"), "NaN"),
        (pathlib.Path("/tmp/x"), "/tmp/x"),
        (pathlib.PureWindowsPath("C:/x"), "C:\\x"),
        (Color.RED, "red"),
        (Color.TWO, 2),
        (Number.ONE, 1),
        (Text.A, "a"),
        (Flags.X | Flags.Y, 3),
        (Point(1, Point(2, [3])),
         {"x": 1, "y": {"x": 2, "y": [3], "hidden": 3}, "hidden": 3}),
        (Slotted("n"), {"name": "n"}),
        (Point, repr(Point)),
        (WithRepr(), "WithRepr(é)"),
        (b"bytes \xff", r"b'bytes \xff'"),
        (bytearray(b"x"), "bytearray(b'x')"),
        (ValueError("boom"), "ValueError('boom')"),
        (1 + 2j, "(1+2j)"),
        (len, "<built-in function len>"),
        (datetime.timedelta(1), "datetime.timedelta(days=1)"),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_values_have_a_sensible_json_form(as_json, value, expected):
    result = as_json(value)
    assert result == expected
    assert type(result) is type(expected)
    if isinstance(expected, float):
        assert math.copysign(1, result) == math.copysign(1, expected)


def test_lone_surrogates_become_replacement_characters(as_json):
    assert as_json("a\ud800b\udfffc") == "a\ufffdb\ufffdc"
    assert as_json({"\ud800": 1}) == {"\ufffd": 1}
    assert as_json(StrSubclass("\udc80")) == "\ufffd"
    assert as_json(pathlib.Path("/x\udcff")) == "/x\ufffd"


def test_a_long_text_with_surrogates_is_converted_too(as_json):
    text = "é" * 10_000 + "\ud800"
    assert as_json(text) == "é" * 10_000 + "\ufffd"


def test_keys_that_are_equal_in_json_are_told_apart(as_json):
    assert as_json({1: "a", "1": "b", "1#2": "c"}) == {"1": "a", "1#2": "b", "1#2#2": "c"}
    assert as_json(dict.fromkeys(["\ud800", "\udc00"])) == {"\ufffd": None, "\ufffd#2": None}
    assert len(as_json({"k" * 300 + str(i): i for i in range(3)})) == 3


def test_an_int_beyond_the_limit_for_digits_is_named(as_json):
    if not hasattr(sys, "get_int_max_str_digits"):
        pytest.skip("this Python has no such limit")
    huge = 10 ** (sys.get_int_max_str_digits() + 1)
    assert as_json([huge, 1]) == ["<unprintable int: ValueError>", 1]


def test_an_object_within_itself_is_cut_there(as_json):
    cycle: list[object] = [1]
    cycle.append({"again": cycle})
    assert as_json(cycle) == [1, {"again": "<cut: contains itself>"}]
    point = Point(1)
    point.y = [point]
    assert as_json(point)["y"] == ["<cut: contains itself>"]


def test_an_object_that_comes_twice_side_by_side_is_not_cut(as_json):
    shared = [1]
    assert as_json([shared, shared]) == [[1], [1]]


@pytest.mark.parametrize("make", [lambda inner: [inner], lambda inner: {"k": inner}, OwnSequence])
def test_depth_is_bounded(as_json, make):
    if make is OwnSequence:

        class Endless(OwnSequence):
            def __getitem__(self, index):
                if index > 0:
                    raise IndexError
                return Endless()

        nested: object = Endless()
    else:
        nested = 1
        for _ in range(1_000_000):
            nested = make(nested)
    text = json.dumps(as_json(nested))
    assert text.count("<cut: too deep>") == 1
    # Taking apart a nest that deep recurses as well, but for these types CPython has a way out.
    del nested


def test_size_is_bounded_and_marked(handler):
    limit = 1 << 20
    record = logging.LogRecord("app", 20, "f.py", 1, "the message", (), None)
    record.first = "kept"
    record.endless = range(10**12)
    record.last = "not reached"
    arrived = handler.format_record(record)
    assert len(json.dumps(arrived, separators=(",", ":"))) <= limit
    assert arrived["message"] == "the message"
    assert arrived["extra"]["first"] == "kept"
    assert arrived["extra"]["endless"][-1] == "<cut>"
    assert arrived["extra"]["<cut>"] is True


@pytest.mark.parametrize("filler", ["x", "é", "\0", '"', "\ud800"])
def test_a_huge_text_is_cut_and_leaves_room_for_the_rest(handler, filler):
    record = logging.LogRecord("app", 20, "f.py", 1, "the message", (), None)
    record.huge = filler * 3_000_000
    record.after = 1
    arrived = handler.format_record(record)
    assert arrived["message"] == "the message"
    assert arrived["extra"]["huge"].endswith("…[cut]")
    assert len(arrived["extra"]["huge"]) > 50_000


def test_a_huge_message_is_cut_and_leaves_the_extras(handler):
    record = logging.LogRecord("app", 20, "f.py", 1, "m" * 100_000_000, (), None)
    record.user = "ada"
    arrived = handler.format_record(record)
    assert arrived["message"].endswith("…[cut]")
    assert 500_000 < len(arrived["message"]) < 1 << 20
    assert arrived["extra"] == {"user": "ada"}


def test_many_huge_extras_stay_within_the_limit(handler):
    record = logging.LogRecord("app", 20, "f.py", 1, "m", (), None)
    for i in range(100):
        setattr(record, f"extra{i}", ["\0" * 50_000] * 3)
    assert handler.format_record(record)["message"] == "m"


def raiser(error):
    class Foo:
        def __repr__(self):
            raise error

        __str__ = __repr__

    return Foo()


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (ValueError("x"), "ValueError"),
        (RecursionError(), "RecursionError"),
        (MemoryError(), "MemoryError"),
        (type("Own", (Exception,), {})(), "Own"),
    ],
)
def test_an_object_that_raises_yields_a_placeholder(as_json, error, name):
    assert as_json([1, raiser(error), 2]) == [1, f"<unprintable Foo: {name}>", 2]
    assert as_json({raiser(error): 1}) == {f"<unprintable Foo: {name}>": 1}


def test_a_repr_that_is_no_str_yields_a_placeholder(as_json):
    class Foo:
        def __repr__(self):
            return 5

    assert as_json(Foo()) == "<unprintable Foo: TypeError>"


class RaisesEverywhere(collections.abc.Mapping):
    def __getattribute__(self, name):
        raise ValueError(name)

    def __getitem__(self, key):
        raise ValueError

    def __iter__(self):
        raise ValueError

    def __len__(self):
        raise ValueError

    def __repr__(self):
        raise ValueError


class HalfMapping(OwnMapping):
    def __iter__(self):
        yield "a"
        raise OSError


class BrokenItems(OwnMapping):
    def __getitem__(self, key):
        raise OSError


class HalfSequence(OwnSequence):
    def __getitem__(self, index):
        if index:
            raise OSError
        return 1


def test_containers_that_raise_are_written_as_far_as_they_go(as_json):
    assert as_json(RaisesEverywhere()) == "<unprintable RaisesEverywhere: ValueError>"
    assert as_json(HalfMapping()) == {"a": 1, "<cut>": "<unprintable HalfMapping: OSError>"}
    assert as_json(BrokenItems()) == dict.fromkeys("ab", "<unprintable BrokenItems: OSError>")
    assert as_json(HalfSequence()) == [1, "<unprintable HalfSequence: OSError>"]


def test_a_container_that_changes_while_it_is_written_does_no_harm(as_json):
    victim: dict[object, object] = {}
    items: list[object] = []

    class Vandal:
        def __repr__(self):
            victim.clear()
            victim.update(dict.fromkeys(range(1000)))
            items.clear()
            return "vandal"

    victim.update(dict.fromkeys("abc", Vandal()))
    assert "vandal" in as_json(victim).values()
    items.extend([Vandal()] * 5)
    assert as_json(items) == ["vandal"]


def test_a_lying_class_does_no_harm(as_json):
    class Liar:
        @property
        def __class__(self):
            return dict

        def __repr__(self):
            return "liar"

    assert as_json([Liar(), 1]) == ["liar", 1]


def test_one_bad_value_leaves_its_neighbours(as_json):
    values = {"a": 1, "bad": raiser(ValueError()), "z": [2]}
    assert as_json(values) == {"a": 1, "bad": "<unprintable Foo: ValueError>", "z": [2]}


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_interruption_while_a_record_is_made_goes_on_after_the_record_went_out(
    log_api, make_handler, logger, error
):
    class Interrupting:
        def __repr__(self):
            raise error

    handler = make_handler()
    logger.addHandler(handler)
    with pytest.raises(error):
        logger.info("in an extra", extra={"x": Interrupting()})
    with pytest.raises(error):
        logger.info("in the message %r", Interrupting())
    handler.setFormatter(logging.Formatter("%(message)s"))
    with pytest.raises(error):
        logger.info("in the formatter %r", Interrupting())
    assert handler.flush()
    assert len(log_api.records) == 3
    assert log_api.records[0]["extra"] == {"x": f"<unprintable Interrupting: {error.__name__}>"}


def test_one_bad_record_does_not_lose_its_batch(shipped):
    def log_all(log):
        log.info("before")
        log.info("%s", raiser(ValueError()), extra={"bad": raiser(ValueError())})
        log.info("after")

    logging_errors, logging.raiseExceptions = logging.raiseExceptions, False
    try:
        before, bad, after = shipped(log_all)
    finally:
        logging.raiseExceptions = logging_errors
    assert (before["message"], after["message"]) == ("before", "after")
    assert bad["message"].startswith("%s [not formatted: ValueError")
    assert "<unprintable tuple: ValueError>" in bad["message"]
    assert bad["extra"] == {"bad": "<unprintable Foo: ValueError>"}


scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
)
keys = st.text(st.characters(max_codepoint=126))
json_values = st.recursive(
    scalars, lambda inner: st.lists(inner) | st.dictionaries(keys, inner), max_leaves=30
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(value=json_values)
def test_what_json_can_say_arrives_unchanged(as_json, value):
    assert as_json(value) == value


anything = st.recursive(
    scalars
    | st.floats()
    | st.text(st.characters())
    | st.binary()
    | st.decimals()
    | st.datetimes()
    | st.uuids()
    | st.complex_numbers()
    | st.just(object)
    | st.builds(raiser, st.just(ValueError())),
    lambda inner: (
        st.lists(inner)
        | st.tuples(inner, inner)
        | st.dictionaries(st.none() | st.integers() | st.floats() | st.text(st.characters()), inner)
        | st.builds(Point, inner, inner)
    ),
    max_leaves=30,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(message=st.text(st.characters()), name=st.text(st.characters(), min_size=1), value=anything)
def test_anything_makes_a_valid_record(handler, message, name, value):
    record = logging.LogRecord(name, 20, "f.py", 1, message, (), None)
    record.value = value
    arrived = handler.format_record(record)
    assert arrived["message"] == re.sub("[\ud800-\udfff]", "\ufffd", message)
    assert set(arrived["extra"]) == {"value"}
