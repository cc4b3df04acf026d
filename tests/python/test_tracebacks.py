"""The text of tracebacks: what logging.Formatter.formatException() says, to the last character.

Every case is formatted with an empty cache of frames, then again from the cache.
"""

from __future__ import annotations

import builtins
import gc
import importlib.machinery
import importlib.util
import itertools
import json
import linecache
import logging
import os
import random
import re
import sys
import sysconfig
import textwrap
import traceback
import types
import weakref

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from log_aggregator_handler import LogAggregatorHandler, _core

# Builds without the interpreter lock leave every traceback to Python.
WITH_GIL = not sysconfig.get_config_var("Py_GIL_DISABLED")
KEPT_AT_MOST = 1024


@pytest.fixture(scope="module", autouse=True)
def traceback_as_it_came():
    """Undoes what a package that pytest brings patches in `traceback` of Python 3.10."""
    fresh = importlib.util.module_from_spec(traceback.__spec__)
    traceback.__spec__.loader.exec_module(fresh)
    with pytest.MonkeyPatch.context() as patch:
        for name, function in vars(fresh.TracebackException).items():
            current = vars(traceback.TracebackException).get(name)
            if not isinstance(function, types.FunctionType) or is_own(current):
                continue
            own = types.FunctionType(
                function.__code__, vars(traceback), name, function.__defaults__
            )
            own.__kwdefaults__ = function.__kwdefaults__
            patch.setattr(traceback.TracebackException, name, own)
        yield


def is_own(function):
    return function.__globals__ is vars(traceback)


@pytest.fixture(scope="module")
def handler():
    """One that is never asked to send: format_record() shows the record as it would be sent."""
    handler = LogAggregatorHandler("http://127.0.0.1:9/api/logs", close_timeout=0)
    yield handler
    handler.close()


@pytest.fixture(scope="module")
def text_of(handler):
    """What arrives as a record's exception."""

    def text(exc_info):
        record = logging.LogRecord("app", 40, "f.py", 1, "m", (), exc_info)
        return handler.format_record(record)["exception"]

    return text


@pytest.fixture(scope="module")
def check(text_of):
    """Compares with Python's text, cold and warm.

    `fast`: whether the text is to be put together in C++; `prepare` is called before each text.
    """

    def check(error, fast=True, prepare=lambda: None):
        info = error
        if not isinstance(info, tuple):
            info = (type(error), error, error.__traceback__)
        for _ in range(3):
            prepare()
            before = _core.traceback_stats()
            text = text_of(info)
            after = _core.traceback_stats()
            prepare()
            expected, formattable = said_by_python(info)
            assert text == expected
            in_cpp = fast and formattable and WITH_GIL
            assert after["formatted"] - before["formatted"] == in_cpp
        return text

    return check


def said_by_python(info):
    """What is to arrive, and whether that is what Python says: some errors it cannot format."""
    try:
        text = logging.Formatter().formatException(info)
    except Exception as error:
        return f"<unprintable {type(info[1]).__name__}: {type(error).__name__}>", False
    return re.sub("[\ud800-\udfff]", "\ufffd", text), True


def rendered_by(function):
    """How many frames the traceback module is asked for."""
    before = _core.traceback_stats()["rendered"]
    function()
    return _core.traceback_stats()["rendered"] - before


def caught(function, *arguments):
    try:
        function(*arguments)
    except BaseException as error:
        return error
    raise AssertionError("nothing was raised")


@pytest.fixture
def module(tmp_path):
    """Makes a module from source in a file of its own."""
    numbers = itertools.count()

    def make(source, path=None):
        path = path or tmp_path / f"made_{next(numbers)}.py"
        path.write_text(textwrap.dedent(source), encoding="utf-8")
        return load(path)

    return make


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    made = importlib.util.module_from_spec(spec)
    # Not through exec_module(), which may find the code of an earlier file of this name.
    exec(compile(path.read_bytes(), str(path), "exec"), made.__dict__)
    return made


# ---- frames

RAISING = {
    "a call": "def run():\n    raise ValueError('text')\n",
    "an operator": "def run():\n    a, b = 1, 0\n    return 5 + (a  //  b) * 3\n",
    "a subscript": "def run():\n    d = {}\n    return d['a']['b']  # comment\n",
    "an attribute on None": "def run():\n    x = None\n    return [x.y.z for _ in range(3)]\n",
    "several lines": """\
        def run():
            return max(
                1,
                int(
                    'x'
                    'y'
                ),
                # comment

                2,
            ) + (
                4
            )
        """,
    "many lines": "def run():\n    return int(\n" + "        'x'\n" * 40 + "    )\n",
    "wide characters": "def run():\n    ö = {'日本': 1}; return ö['日本'] + ö['ключ😀']\n",
    "tabs": "def run():\n\tif True:\n\t\treturn\t{}\t[\t'x'\t]\n",
    "form feed": "def run():\n    \f\n    x = 1;\f raise ValueError(x)\n",
    "a long line": "def run():\n    return 1 / 0, " + "'long' + " * 900 + "''\n",
    "a lambda in a default": "run = lambda x=(lambda: [][1]): (x(),\n  1)\n",
    "a comprehension": "def run():\n    return {k: v for k, v in [(1, 2), (3,)]}\n",
    "a generator": """\
        def f():
            yield 1
            yield from (1 // x for x in (1, 0))
        def run():
            list(f())
        """,
    "recursion through two functions on one line": """\
        def down(n): return list(down(n - 1) if n else 1 // n for _ in (1,))
        def run():
            down(8)
        """,
    "a class body": "def run():\n    class Inner(\n        object,\n    ):\n        x = 1 % 0\n",
    "a decorator": """\
        def d(f):
            raise KeyError('k')
        def run():
            @d
            def f():
                pass
        """,
    "a context manager": """\
        class C:
            def __enter__(self): pass
            def __exit__(self, *args): {}[1]
        def run():
            with C():
                pass
        """,
    "an assertion": "def run():\n    assert (1 ==\n        2), 'text'\n",
    "a finally": "def run():\n    try:\n        1 / 0\n    finally:\n        [].pop()\n",
    "one line": "def run(): raise ValueError",
    "unpacking": "def run():\n    a, (b, c) = 1, (2, 3, 4)\n",
    "a coroutine": """\
        import asyncio
        async def inner():
            await asyncio.sleep(0)
            raise OSError(2, 'text', 'file')
        def run():
            asyncio.run(inner())
        """,
}


@pytest.mark.parametrize("source", RAISING.values(), ids=RAISING.keys())
def test_frames_read_as_in_python(check, module, source):
    check(caught(module(source).run))


def test_two_errors_on_one_line_keep_their_own_carets(check, module):
    made = module("def run(d):\n    return d['a'] + d['b'] // d['c']\n")
    data = [{}, {"a": 1}, {"a": 1, "b": 1}, {"a": 1, "b": 1, "c": 0}, {"a": "", "b": 1, "c": 1}]
    texts = {check(caught(made.run, d)) for d in data + data}
    assert len(texts) == 5


@pytest.mark.skipif(not WITH_GIL, reason="every traceback is left to Python")
def test_a_known_frame_is_not_rendered_again(text_of, module):
    made = module("def inner(x):\n    return 1 / x\ndef run(x):\n    return inner(x)\n")
    errors = [caught(made.run, 0) for _ in range(3)]
    infos = [(type(e), e, e.__traceback__) for e in errors]
    assert rendered_by(lambda: text_of(infos[0])) > 0
    assert rendered_by(lambda: [text_of(info) for info in infos]) == 0


@pytest.mark.parametrize("depth", [2, 3, 4, 5, 6, 50, 400])
def test_recursion_is_folded(check, module, depth):
    made = module(
        """\
        def down(n):
            if n:
                return down(n - 1)
            return [][n]
        def ping(n):
            return pong(n - 1) if n else int("x")
        def pong(n): return ping(n - 1) if n else int("x")
        def run(n, f):
            return f(n)
        """
    )
    check(caught(made.run, depth, made.down))
    check(caught(made.run, depth, made.ping))


def test_frames_of_another_function_of_the_same_name_and_line_are_folded_with_it(check):
    source = "def f(g):\n    g()\n"
    functions = []
    for _ in range(6):
        space: dict = {}
        exec(compile(source, "<made>", "exec"), space)
        functions.append(space["f"])
    call = functions[0]
    for function in functions[1:]:
        call = lambda inner=call, outer=function: outer(inner)  # noqa: E731
    nested = lambda: functions[0](lambda: 1 / 0)  # noqa: E731
    check(caught(nested))
    chain = None
    for number, function in enumerate(functions):
        here = caught(function, None).__traceback__.tb_next
        chain = types.TracebackType(chain, here.tb_frame, here.tb_lasti, 2)
        error = ValueError(number)
        check((ValueError, error, chain))


def test_a_traceback_may_be_put_together_by_hand(check, module):
    made = module("def inner():\n    return 1 / 0\ndef run():\n    return inner()\n\n\nlast = 1\n")
    error = caught(made.run)
    frame = error.__traceback__.tb_next.tb_frame
    lasti = error.__traceback__.tb_next.tb_lasti
    for position, line in itertools.product((lasti, 0, 2, -1), (1, 2, 4, 7, 99)):
        alone = types.TracebackType(None, frame, position, line)
        check((ZeroDivisionError, error, alone))
        check((ZeroDivisionError, error, types.TracebackType(alone, frame, lasti, 4)))
    check((ZeroDivisionError, error, error.__traceback__.tb_next.tb_next))
    check((ZeroDivisionError, error, None))


# ---- chains and last lines


class Odd(Exception):
    pass


class Renamed(Exception):
    pass


Renamed.__qualname__ = "another.name"
Renamed.__module__ = "builtins"


class WithoutModule(Exception):
    pass


setattr(WithoutModule, "__module__", None)  # noqa: B010


WithNumber = type("WithNumber", (Exception,), {"__module__": 5})


class Text(str):
    def __str__(self):
        return "its own"

    def __add__(self, other):
        return "added"


class WithText(Exception):
    __module__ = Text("module")


class Meta(type):
    def __getattribute__(cls, name):
        return "made.by.meta" if name == "__qualname__" else super().__getattribute__(name)


class OfMeta(Exception, metaclass=Meta):
    pass


class Main(Exception):
    __module__ = "__main__"


class Says(Exception):
    def __init__(self, answer):
        self.answer = answer

    def __str__(self):
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


class OwnChain(Exception):
    __cause__ = property(lambda self: KeyError("of a property"))


class OwnNotes(Exception):
    @property
    def __notes__(self):
        raise ValueError("no notes")


ERRORS = {
    "plain": ValueError("text"),
    "without text": ValueError(),
    "empty text": ValueError(""),
    "key": KeyError("key"),
    "several arguments": ValueError(1, "two"),
    "system": OSError(2, "No such file", "name"),
    "several lines": ValueError("a\nb\n\nc"),
    "ends with a newline": ValueError("a\n"),
    "newlines only": ValueError("\n\n"),
    "odd line ends": ValueError("a\rb\x0bc\x0cd\x1ce\x85f\u2028g\r\n"),
    "unicode": ValueError("größe 日本 😀 \0 \ud800"),
    "long": ValueError("long " * 20000),
    "of a module": Odd("text"),
    "of a module of the library": json.JSONDecodeError("text", "doc", 1),
    "renamed": Renamed("text"),
    "without a module": WithoutModule("text"),
    "with a number for a module": WithNumber("text"),
    "with a kind of str for a module": WithText("text"),
    "of a metaclass": OfMeta("text"),
    "of the program": Main("text"),
    "local": type("Local", (Exception,), {"__qualname__": "f.<locals>.Local"})("text"),
    "dots in its name": type("a.b", (Exception,), {})("text"),
    "cannot say": Says(RuntimeError("no")),
    "says no text": Says(5),
    "says another kind of text": Says(Text("a")),
    "dots in its name and cannot say": type("a.b", (Says,), {})(RuntimeError("no")),
    "exit": SystemExit(2),
    "interrupt": KeyboardInterrupt(),
    "stop": StopIteration(5),
    "unicode error": UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
    "name by hand": NameError("name", name="lenn"),
    "attribute by hand": AttributeError("text", name="appendd", obj=[]),
    "attribute without a name": AttributeError("text"),
    "import by hand": ImportError("text", name="os", path="p"),
    "no module": ModuleNotFoundError("No module named 'jsn'", name="jsn"),
    "a module of the library": ModuleNotFoundError("No module named 'curses'", name="curses"),
    "memory": MemoryError(),
    "syntax by hand": SyntaxError("bad", ("file.py", 3, 5, "a = = b\n", 3, 6)),
    "syntax without details": SyntaxError("bad"),
    "syntax without text": SyntaxError("bad", ("file.py", 3, None, None)),
    "indentation": IndentationError("bad", ("file.py", 3, 5, "   a\n")),
}


@pytest.mark.parametrize("error", ERRORS.values(), ids=ERRORS.keys())
def test_the_last_line_reads_as_in_python(check, error):
    check(error)
    check((type(error), error, caught(lambda: 1 / 0).__traceback__))


def test_other_types_and_wrong_ones_in_the_tuple(check):
    traceback_object = caught(lambda: 1 / 0).__traceback__
    check((KeyError, ValueError("not of this type"), traceback_object))
    check((None.__class__, ValueError("x"), traceback_object))
    check((ValueError, None, traceback_object), fast=False)
    check((ValueError, "no error", traceback_object), fast=False)


@pytest.mark.parametrize(
    "source",
    [
        "def run():\n    value = 1\n    return valu\n",
        "def run():\n    return lne('x')\n",
        "def run():\n    return sys.path\n",
        "def run():\n    return [].appendd\n",
        "class A:\n    blech = 1\n    def f(self): return blech\ndef run():\n    A().f()\n",
        "class A:\n    _blech = 1\n    def f(self): return self.blech\ndef run():\n    A().f()\n",
        "def run():\n    from os import pathh\n",
        "def run():\n    import jsonn\n",
        "def run():\n  try:\n    lne\n  except NameError as e:\n    raise OSError from e\n",
        "def run():\n    try:\n        {}.itmes\n    finally:\n        pprint\n",
        "def run():\n    eval('1 +')\n",
        "def run():\n    exec('if True:\\npass')\n",
        "def run():\n    compile('a = \\n\\u65e5\\u672c $ 1', 'name', 'exec')\n",
        "def run():\n  try:\n    eval('f(x for x in y, 1)')\n  finally:\n    raise KeyError\n",
    ],
)
def test_suggestions_and_syntax_errors_read_as_in_python(check, module, source):
    check(caught(module(source).run))


def raised(error, cause=None, context=None):
    """With a traceback of its own."""
    try:
        raise error
    except BaseException:
        error.__cause__ = cause
        error.__context__ = context
        error.__suppress_context__ = cause is not None
        return error


def test_chains_read_as_in_python(check):
    names = ("the first", "the second", "the third")  # which no path holds
    one, two, three = (raised(ValueError(name)) for name in names)
    assert "direct cause" in check(raised(KeyError("k"), cause=one))
    assert "During handling" in check(raised(KeyError("k"), context=one))
    assert "the second" not in check(raised(KeyError("k"), cause=one, context=two))
    check(raised(KeyError("k"), cause=raised(OSError(1, "x"), context=raised(three, cause=one))))
    hidden = raised(KeyError("k"), context=one)
    hidden.__suppress_context__ = True
    assert "the first" not in check(hidden)
    hidden.__suppress_context__ = False
    hidden.__cause__ = two
    hidden.__suppress_context__ = False
    check(hidden)
    check(raised(KeyError("k"), cause=ValueError("never raised")))
    check(OwnChain("text"))


def test_chains_with_cycles_end(check):
    one, two, three = (raised(ValueError(name)) for name in ("one", "two", "three"))
    one.__context__, two.__context__, three.__context__ = two, three, one
    check(one)
    two.__cause__, three.__cause__ = one, two
    check(two)
    three.__suppress_context__ = False
    check(three)
    one.__cause__ = one
    check(one)
    one.__suppress_context__ = False
    check(one)


def test_a_long_chain_is_left_to_python(check):
    error = None
    for number in range(64):
        error = raised(ValueError(number), cause=error)
    check(error)
    check(raised(ValueError("one more"), context=error), fast=False)


class Empty(Exception):
    def __len__(self):
        return 0


class Denied(Exception):
    def __bool__(self):
        return False


@pytest.mark.parametrize("kind", [Empty, Denied])
def test_an_error_that_is_false_is_left_to_python(check, kind):
    check(raised(kind("text"), cause=raised(ValueError("cause"))), fast=False)
    check(raised(ValueError("text"), context=raised(kind("cause"))), fast=False)


@pytest.mark.parametrize(
    "notes",
    [
        [],
        ["a note"],
        ["a\nb\n", "", "日本"],
        [1, None, Text("x")],
        [Says(RuntimeError("no"))],
        ("a", "tuple"),
        "text",
        b"bytes",
        5,
        None,
        Says("text"),
    ],
)
def test_notes_read_as_in_python(check, notes):
    error = raised(ValueError("text"))
    error.__notes__ = notes
    check(error)
    check(raised(KeyError("k"), cause=error))


def test_notes_that_raise_read_as_in_python(check):
    check(raised(OwnNotes("text")))


@pytest.mark.skipif(sys.version_info < (3, 11), reason="groups are new in 3.11")
def test_groups_are_left_to_python(check):
    kind = vars(builtins)["ExceptionGroup"]
    group = raised(kind("g", [raised(ValueError(1)), kind("h", [KeyError(2)])]))
    check(group, fast=False)
    check(raised(KeyError("k"), cause=group), fast=False)


def test_an_interrupt_in_str_is_raised_again_after_the_record_was_shipped(shipped, make_handler):
    handler = make_handler()
    error = raised(Says(KeyboardInterrupt()))

    def log(logger):
        with pytest.raises(KeyboardInterrupt):
            logger.error("x", exc_info=error)

    [record] = shipped(log, handler)
    expected = logging.Formatter().formatException((Says, error, error.__traceback__))
    if WITH_GIL:
        assert record["exception"] == expected


# ---- sources


def test_a_source_that_changes_is_read_again(check, module, tmp_path):
    path = tmp_path / "changing.py"
    made = module("def run():\n    return 1 / 0  # before\n", path)
    error = caught(made.run)
    assert "# before" in check(error)
    path.write_text("def run():\n    return 1 / 0  # after, longer\n")
    assert "# after, longer" in check(error)
    path.write_text("# line\n\n# another\n")
    check(error)
    path.unlink()
    assert "# " not in check(error)
    path.write_text("def run():\n    return 1 / 0  # again\n")
    assert "# again" in check(error)
    path.write_text("")
    check(error)
    path.write_bytes(b"\xff\xfe\n\xff\n")
    check(error)
    path.unlink()
    path.mkdir()
    check(error)


def test_a_source_of_the_same_size_with_another_time_is_read_again(check, module, tmp_path):
    path = tmp_path / "same.py"
    made = module("def run():\n    return 1 / 0  # one\n", path)
    error = caught(made.run)
    assert "# one" in check(error)
    path.write_text("def run():\n    return 1 / 0  # two\n")
    os.utime(path, ns=(0, 1_234_567_890_123_456_789))
    assert "# two" in check(error)
    path.write_text("def run():\n    return 1 / 0  # six\n")
    os.utime(path, ns=(0, 1_234_567_890_123_456_789))
    assert "# two" in check(error)
    linecache.clearcache()
    assert "# six" in check(error)
    path.write_text("def run():\n    return 1 / 0  # longer\n")
    os.utime(path, ns=(0, 1_234_567_890_123_456_789))
    assert "# longer" in check(error)


def code_of(source, filename, **attributes):
    """A function whose code says that it is of `filename`."""
    space = {"__name__": "made", **attributes}
    exec(compile(source, "placeholder", "exec"), space)
    space["run"].__code__ = space["run"].__code__.replace(co_filename=filename)
    return space["run"]


@pytest.mark.parametrize(
    "filename",
    [
        "<string>",
        "<frozen made>",
        "<stdin>",
        "<stdin>-0",
        "<stdin-0>",
        "<日本>",
        "<",
        "",
        "relative.py",
        "/nowhere/at/all.py",
        "/nowhere/größe.py",
        pytest.param("/nowhere/\udcff.py", id="not UTF-8"),
        pytest.param("/nowhere/\ud800.py", id="a lone surrogate"),
        "/nowhere/nul\0.py",
        "nul\0",
        "/",
        "test_tracebacks.py",
        __file__,
    ],
)
def test_code_of_any_file_name_reads_as_in_python(check, filename, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path, os.path.dirname(__file__)])
    check(caught(code_of("def run():\n    return 1 / 0\n", filename)))


class Loader:
    """Gives source, None, or raises."""

    def __init__(self, source):
        self.source = source
        self.asked = 0

    def get_source(self, name):
        self.asked += 1
        if isinstance(self.source, Exception):
            raise self.source
        return self.source


def test_a_source_of_a_loader_reads_as_in_python(check):
    source = "def run():\n    return 1 / 0  # of a loader\n"
    error = caught(code_of(source, "/of/a/loader.py", __loader__=Loader(source)))
    assert "# of a loader" in check(error)
    linecache.cache["/of/a/loader.py"] = (5, None, ["\n", "# by hand\n"], "/of/a/loader.py")
    assert "# by hand" in check(error)
    linecache.cache["/of/a/loader.py"] = (5, None, ["\n"], "/of/a/loader.py")
    check(error)

    def make_stale():
        linecache.cache["/of/a/loader.py"] = (5, 7, ["\n", "# never\n"], "/of/a/loader.py")

    # Python shows no source once, and what the loader gives from then on.
    assert "# " not in check(error, prepare=make_stale)
    check(error)
    linecache.clearcache()
    assert "# of a loader" in check(error)


def test_a_loader_that_had_no_source_is_asked_again(check, text_of):
    loader = Loader(None)
    error = caught(code_of("def run():\n    1 / 0\n", "/compiled/only.py", __loader__=loader))
    assert "# late" not in check(error)
    info = (type(error), error, error.__traceback__)
    if WITH_GIL and sys.version_info < (3, 14):  # whose linecache forgets such loaders
        assert rendered_by(lambda: text_of(info)) == 0
    loader.source = ImportError("no source")
    check(error)
    loader.source = "def run():\n    1 / 0  # late\n"
    assert "# late" in check(error)


def test_a_file_goes_before_a_loader_that_had_no_source(check, tmp_path):
    path = tmp_path / "compiled.py"
    error = caught(code_of("def run():\n    1 / 0\n", str(path), __loader__=Loader(None)))
    assert "# late" not in check(error)
    path.write_text("def run():\n    1 / 0  # late\n")
    assert "# late" in check(error)


def test_a_missing_source_that_appears_is_read(check, tmp_path):
    path = tmp_path / "late.py"
    error = caught(code_of("def run():\n    return 1 / 0\n", str(path)))
    assert "# late" not in check(error)
    path.write_text("def run():\n    return 1 / 0  # late\n")
    assert "# late" in check(error)


def test_generated_code_that_is_replaced_under_its_name_is_read_again(check):
    name = "<generated 7>"
    error = caught(code_of("def run():\n    return 1 / 0\n", name))
    for text in ("# one\n", "# two\n", "# three\n"):
        linecache.cache[name] = (5, None, ["\n", text], name)
        assert text in check(error)
    del linecache.cache[name]
    assert "# " not in check(error)


@pytest.mark.skipif(not hasattr(linecache, "_interactive_cache"), reason="new in 3.14")
def test_code_that_is_typed_in_again_is_read_again(check, monkeypatch):
    monkeypatch.setattr(linecache, "_interactive_cache", {})
    run = code_of("def run():\n    return 1 / 0\n", "<typed in>")
    error = caught(run)
    for text in ("# one\n", "# two\n"):
        linecache._register_code(run.__code__, "\n" + text, "<typed in>")
        assert text in check(error)


def test_an_entry_with_another_kind_of_time_is_checked(check, module, tmp_path):
    path = tmp_path / "whole_seconds.py"
    error = caught(module("def run():\n    return 1 / 0\n", path).run)
    os.utime(path, (1000, 1000))
    name = str(path)
    linecache.cache[name] = (path.stat().st_size, 1000, ["\n", "# by hand\n"], name)
    assert "# by hand" in check(error)
    path.write_text("def run():\n    return 1 / 0  # after\n")
    assert "# after" in check(error)


@pytest.mark.parametrize("entry", [None, (), (1, 2), [1, None, ["\n", "a\n"], "x"], (1, None)])
def test_odd_entries_of_linecache_read_as_in_python(check, monkeypatch, entry):
    error = caught(code_of("def run():\n    return 1 / 0\n", "<odd>"))
    monkeypatch.setitem(linecache.cache, "<odd>", entry)
    check(error)


# ---- who else has a say


@pytest.mark.parametrize("limit", [0, 1, 2, 1000, -1])
def test_tracebacklimit_is_honoured(check, monkeypatch, limit):
    error = caught(lambda: caught.missing())
    check(error)
    monkeypatch.setattr(sys, "tracebacklimit", limit, raising=False)
    check(error, fast=False)
    monkeypatch.setattr(sys, "tracebacklimit", None)
    check(error)


def shout(*arguments, **keywords):
    return "PATCHED"


PATCHES = [
    (logging.Formatter, "formatException", lambda self, info: "PATCHED"),
    (traceback, "print_exception", lambda *a, file=None, **k: (file or a[4]).write("PATCHED")),
    (traceback, "_RECURSIVE_CUTOFF", 1),
    (traceback, "_cause_message", "PATCHED\n"),
    (traceback, "TracebackException", type("T", (traceback.TracebackException,), {})),
    (traceback.TracebackException, "format", lambda self, **k: ["PATCHED\n"]),
    (traceback.TracebackException, "format_exception_only", lambda self, **k: ["PATCHED\n"]),
    (traceback.StackSummary, "format", lambda self, **k: ["PATCHED\n"]),
    (traceback.FrameSummary, "__init__", lambda self, *a, **k: 1 // 0),
    (linecache, "getline", shout),
    (linecache, "checkcache", lambda filename=None: None),
    (linecache, "lazycache", lambda filename, module_globals: False),
]


@pytest.mark.parametrize(("owner", "name", "value"), PATCHES, ids=[p[1] for p in PATCHES])
def test_what_is_patched_is_called(text_of, check, monkeypatch, owner, name, value):
    error = raised(KeyError("k"), cause=raised(ValueError("text")))
    info = (type(error), error, error.__traceback__)
    check(error)
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, value)
        left = _core.traceback_stats()["left"]
        assert text_of(info) == said_by_python(info)[0]
        assert _core.traceback_stats()["left"] == left + 1
    check(error)


@pytest.mark.parametrize(
    "patch",
    [
        "traceback.TracebackException.format = patched",
        "traceback.print_exception = patched_function",
        "logging.Formatter.formatException = lambda self, info: 'PATCHED'",
    ],
)
def test_a_patch_from_before_the_package_was_imported_is_called(run_python, patch):
    program = f"""
import logging, traceback
def patched(self, **keywords):
    yield "PATCHED"
def patched_function(kind, value, traceback, limit=None, file=None):
    file.write("PATCHED")
{patch}
from log_aggregator_handler import LogAggregatorHandler
handler = LogAggregatorHandler("http://127.0.0.1:9/x", close_timeout=0)
record = logging.LogRecord("a", 40, "f", 1, "m", (), (ValueError, ValueError("x"), None))
print(handler.format_record(record)["exception"])
"""
    result = run_python(program)
    assert result.stdout == "PATCHED\n", result.stderr


def test_code_given_on_the_command_line_reads_as_in_python(run_python):
    program = """
import json, logging
from log_aggregator_handler import LogAggregatorHandler
handler = LogAggregatorHandler("http://127.0.0.1:9/x", close_timeout=0)
def fail(x):
    return 1 / x
try:
    fail(0)
except ZeroDivisionError as error:
    info = (type(error), error, error.__traceback__)
    for _ in range(3):
        record = logging.LogRecord("a", 40, "f", 1, "m", (), info)
        text = handler.format_record(record)["exception"]
        assert text == logging.Formatter().formatException(info)
    print("same")
"""
    result = run_python(program)
    assert result.stdout == "same\n", result.stderr


class Terse(logging.Formatter):
    def formatException(self, ei):
        return f"terse {ei[0].__name__}"


class Plain(logging.Formatter):
    def format(self, record):
        return record.getMessage()


class Delegating(logging.Formatter):
    def __getattribute__(self, name):
        return shout if name == "formatException" else super().__getattribute__(name)


def with_own_method():
    formatter = logging.Formatter()
    formatter.formatException = shout
    return formatter


@pytest.mark.parametrize(
    ("formatter", "expected"),
    [
        (logging.Formatter("%(message)s"), None),
        (Plain(), None),
        (Terse(), "terse ValueError"),
        (Delegating(), "PATCHED"),
        (with_own_method(), "PATCHED"),
        (types.SimpleNamespace(), None),
    ],
)
def test_formatters_that_format_exceptions_themselves_are_called(handler, formatter, expected):
    error = raised(ValueError("text"))
    info = (ValueError, error, error.__traceback__)
    record = logging.LogRecord("app", 40, "f.py", 1, "m", (), info)
    before = _core.traceback_stats()["formatted"]
    text = json.loads(handler._core.encode(record, "m", formatter))["exception"]
    assert text == expected or (
        expected is None and text == logging.Formatter().formatException(info)
    )
    standard = isinstance(formatter, logging.Formatter) and expected is None
    assert (_core.traceback_stats()["formatted"] > before) == (standard and WITH_GIL)


# ---- bounds and re-entrance


def test_the_texts_of_frames_are_bounded_and_old_code_is_let_go(text_of):
    codes = []
    for number in range(3 * KEPT_AT_MOST):
        run = code_of("def run():\n    return 1 / 0\n", f"<made {number}>")
        error = caught(run)
        text_of((type(error), error, error.__traceback__.tb_next))
        codes.append(weakref.ref(run.__code__))
        del run, error
    gc.collect()
    alive = sum(code() is not None for code in codes)
    assert alive <= KEPT_AT_MOST
    assert _core.traceback_stats()["kept"] <= KEPT_AT_MOST
    if WITH_GIL:
        assert alive > KEPT_AT_MOST // 2
        assert codes[-1]() is not None


def test_equal_code_that_is_not_the_same_is_told_apart(check, tmp_path):
    source = "def run():\n    return 1 / 0\n"
    functions = [code_of(source, "<equal>") for _ in range(2)]
    assert functions[0].__code__ == functions[1].__code__
    assert functions[0].__code__ is not functions[1].__code__
    for function in functions:
        check(caught(function))


@pytest.mark.skipif(not WITH_GIL, reason="every traceback is left to Python")
def test_a_frame_that_is_often_asked_for_stays(text_of):
    error = caught(code_of("def run():\n    return 1 / 0\n", "<often>"))
    often = (type(error), error, error.__traceback__)
    text_of(often)
    for number in range(2 * KEPT_AT_MOST):
        error = caught(code_of("def run():\n    return 1 / 0\n", f"<seldom {number}>"))
        text_of((type(error), error, error.__traceback__))
        assert rendered_by(lambda: text_of(often)) == 0


@pytest.mark.skipif(not WITH_GIL, reason="every traceback is left to Python")
def test_long_texts_are_not_kept(check, text_of, module):
    error = caught(module("def run():\n    return 1 / 0, " + "'long' + " * 900 + "''\n").run)
    check(error)
    info = (type(error), error, error.__traceback__.tb_next)
    assert rendered_by(lambda: text_of(info)) == 1


@pytest.mark.skipif(sys.version_info < (3, 11), reason="the format of co_linetable")
def test_frames_without_a_line_are_not_folded(check):
    run = code_of("def run(n):\n    return run(n - 1) if n else 1 / 0\n", "<no line>")
    run.__code__ = run.__code__.replace(co_linetable=b"\xff" * 20)
    check(caught(run, 9))


def test_frames_beyond_what_is_kept_read_as_in_python(check):
    source = "".join(f"def f{i}():\n    f{i + 1}()\n" for i in range(400))
    space: dict = {}
    exec(compile(source + "def f400():\n    1 / 0\n", "<many>", "exec"), space)
    for _ in range(3):
        check(caught(space["f0"]))


def test_formatting_may_format_within(text_of):
    """str() of an error, a loader and the end of code that is let go come back to the cache."""

    ends = []

    def fill(count):
        for number in range(count):
            run = code_of("def run():\n    return 1 / 0\n", f"<fill {number}>")
            ends.append(weakref.finalize(run.__code__, text_of, (ValueError, ValueError(), None)))
            error = caught(run)
            text_of((type(error), error, error.__traceback__))
            del run, error

    class Nested(Exception):
        def __str__(self):
            fill(50)
            return "nested"

    class Filling(Loader):
        def get_source(self, name):
            fill(3 * KEPT_AT_MOST)
            return super().get_source(name)

    run = code_of("def run():\n    raise error\n", "/filling.py", __loader__=Filling(None))
    for _ in range(3):
        run.__globals__["error"] = raised(Nested(), cause=raised(Nested()))
        error = caught(run)
        info = (Nested, error, error.__traceback__)
        texts = [text_of(info) for _ in range(2)]
        assert texts == [logging.Formatter().formatException(info)] * 2
    assert any(not end.alive for end in ends)
    for end in ends:
        end.detach()


def test_a_traceback_that_python_cannot_format_leaves_nothing_behind(check):
    for error in (ZeroDivisionError(), MemoryError()):
        run = code_of("def run():\n    1 / 0\n", "/fails.py", __loader__=Loader(error))
        check(caught(run))
        linecache.clearcache()


# ---- anything

EXPRESSIONS = [
    "{}",
    "1 + {}",
    "{} // 1",
    "({} , 2)[0]",
    "max({}, key=lambda v: v)",
    "d['a']({})",
    "[x for x in [{}]][0]",
    "str({}).upper()",
    "ö({}) if d else None",
    "max(\n        {},\n        1,\n    )",
    "(\n        {}\n        + 2\n    )",
    "'%s' % ({},)",
]
ENDS = [
    "1 / 0",
    "[][5]",
    "{'k': 1}['x']",
    "int('x')",
    "None.attribute",
    "undefined_name",
    "d()",
    "int(\n        'x',\n        10,\n    )",
    "'日本' + 1",
    "fail()",
]
BODIES = [
    "    return {}\n",
    "    value = {}\n    return value\n",
    "    if True:\n            return {}  # comment\n",
    "    try:\n        return {}\n    finally:\n        pass\n",
    "    try:\n        return {}\n    except Exception as e:\n        raise OSError(1) from e\n",
    "    try:\n        return {}\n    except Exception:\n        raise KeyError('in handling')\n",
    "    try:\n        return {}\n    except Exception:\n        raise OSError(2) from None\n",
    "    for i in range(2): value = {}; print(value)\n",
]


@st.composite
def programs(draw):
    """A module whose run() fails somewhere down a row of calls."""
    steps = draw(st.integers(1, 6))
    source = "d = {'a': lambda v: v}\ndef ö(v): return v\ndef fail(): raise Failure('text\\n', 2)\n"
    source += "class Failure(Exception): pass\n"
    for number in range(steps):
        repeat = draw(st.integers(0, 6))
        source += "\n" * draw(st.integers(0, 2))
        source += f"def f{number}(n={repeat}):\n"
        if repeat:
            source += f"    if n: return f{number}(n - 1)\n"
        inner = f"f{number + 1}()" if number + 1 < steps else draw(st.sampled_from(ENDS))
        expression = draw(st.sampled_from(EXPRESSIONS)).format(inner)
        source += draw(st.sampled_from(BODIES)).replace("{}", expression)
    return source


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(source=programs(), seed=st.integers(0, 2**32))
def test_any_program_reads_as_in_python(check, tmp_path, source, seed):
    path = tmp_path / "program.py"
    path.write_text(source, encoding="utf-8")
    made = load(path)
    check(caught(made.f0))
    check(caught(made.f0))
    # Another source under the code that runs.
    lines = source.splitlines(keepends=True)
    random.Random(seed).shuffle(lines)
    path.write_text("# changed\n" + "".join(lines), encoding="utf-8")
    check(caught(made.f0))
