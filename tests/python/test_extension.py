"""Extension modules in C++ log through the handler of the program: one queue, one order.

native.cc is the extension: a copy of the C++ library that is not the one in log_aggregator_handler.
The example in examples/python_extension is tested here, too, and on the page by tests/page.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import logging
import os
import re
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path

import pytest

from log_aggregator_handler import LogAggregatorHandler, _core

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def native(extensions, monkeypatch):
    monkeypatch.syspath_prepend(extensions[0])
    return importlib.import_module("native")


@pytest.fixture(params=[False, True], ids=["plain", "accelerated"])
def either_way(request):
    """Once without accelerate(), once with it."""
    if request.param:
        request.getfixturevalue("accelerated")


def text_and_number(record) -> tuple[str, int]:
    return record["message"], record["extra"]["i"]


# ---- one order


def test_records_of_python_and_of_cpp_arrive_in_the_order_in_which_they_were_logged(
    either_way, native, make_handler, log_api, logger
):
    handler = make_handler()
    logger.addHandler(handler)
    joined = native.join(handler, "native")
    for i in range(500):
        logger.info("python", extra={"i": i})
        native.log(joined, logging.INFO, "native", i)
    assert native.flush(joined)
    expected = [(text, i) for i in range(500) for text in ("python", "native")]
    assert [text_and_number(record) for record in log_api.records] == expected


def test_threads_of_both_lose_nothing_and_keep_their_order(
    either_way, native, make_handler, log_api, logger
):
    handler = make_handler()
    logger.addHandler(handler)
    joined = native.join(handler, "native")
    count = 2_000

    def log(name: str) -> None:
        for i in range(count):
            logger.info("%s", name, extra={"i": i})

    python = [threading.Thread(target=log, args=(f"python-{n}",)) for n in range(8)]
    native.start(joined, 8, count)
    for thread in python:
        thread.start()
    for thread in python:
        thread.join()
    native.finish()
    assert handler.flush()
    by_thread: dict[str, list[int]] = {}
    for name, i in map(text_and_number, log_api.records):
        by_thread.setdefault(name, []).append(i)
    names = [f"{side}-{n}" for side in ("native", "python") for n in range(8)]
    assert by_thread == {name: list(range(count)) for name in names}
    assert native.stats(joined) == (16 * count, 16 * count, 0)
    assert handler.stats()["accepted"] == 16 * count


def test_records_of_cpp_look_like_those_of_python(native, make_handler, log_api, logger):
    handler = make_handler(
        host="web1",
        fields={"service": "shop"},
        level_map={"WARNING": "warn", 20: "information", "INFO": "not this", 10**30: "x"},
    )
    logger.addHandler(handler)
    joined = native.join(handler, "shop.native")
    native.log(joined, logging.WARNING, "from C++", 7)
    native.log(joined, logging.INFO, "from C++", 8)
    native.log(joined, logging.ERROR, "from C++", 9)
    logger.info("from Python")
    assert handler.flush()
    warning, information, error, python = log_api.records
    # Whether records have a process name is up to multiprocessing.
    assert set(warning) - {"processName"} == {*python, "extra"} - {"processName"}
    for name in ("host", "service", "process"):
        assert warning[name] == python[name]
    assert python["level"] == information["level"] == "information"
    assert (warning["level"], error["level"]) == ("warn", "ERROR")
    assert warning["logger_name"] == warning["host_process"] == "shop.native"
    assert (warning["filename"], warning["funcName"]) == ("native.cc", "log")
    assert warning["extra"] == {"i": 7}


# ---- waiting


@pytest.mark.parametrize("log", ["log", "log_unlocked"])
def test_a_log_call_that_waits_for_room_lets_python_run_on(native, make_handler, log_api, log):
    handler = make_handler(overflow="block", block_timeout=60.0, queue_bytes=65_536)
    joined = native.join(handler, "native")
    log_api.hang()

    def recover_when_full() -> None:
        while handler.stats()["pending_bytes"] < 50_000:
            time.sleep(0.001)
        log_api.recover()

    recovery = threading.Thread(target=recover_when_full)
    recovery.start()
    taken = [getattr(native, log)(joined, logging.INFO, f"{i} {100 * 'x'}") for i in range(1_000)]
    recovery.join()
    assert all(taken)
    assert handler.flush()
    assert [int(r["message"].split()[0]) for r in log_api.records] == list(range(1_000))


@pytest.mark.parametrize("log", ["log", "log_unlocked"])
def test_a_log_call_that_waits_for_the_verdict_lets_python_answer(
    native, make_handler, log_api, log
):
    """The API is in this process, and so is the callable that is asked for credentials."""
    asked = []

    def auth():
        asked.append(threading.get_ident())
        return {"X-Token": "t"}

    handler = make_handler(background=False, auth=auth)
    joined = native.join(handler, "native")
    assert getattr(native, log)(joined, logging.INFO, "delivered")
    assert [record["message"] for record in log_api.records] == ["delivered"]
    assert asked
    assert native.check_connection(joined)
    log_api.respond(400)
    assert not getattr(native, log)(joined, logging.INFO, "refused")


# ---- whose handler it is


def test_a_capsule_keeps_its_handler_alive(log_api):
    handler = LogAggregatorHandler(log_api.endpoint)
    capsule, alive = handler.capsule, weakref.ref(handler)
    del handler
    gc.collect()
    assert alive() is not None
    del capsule
    assert alive() is None


def test_a_handler_that_only_cpp_holds_goes_on_delivering(native, log_api):
    handler = LogAggregatorHandler(log_api.endpoint, auth=lambda: {"X-Token": "t"})
    joined, alive = native.join(handler, "native"), weakref.ref(handler)
    del handler
    gc.collect()
    assert native.log(joined, logging.INFO, "alone")
    assert native.flush(joined)
    assert [record["message"] for record in log_api.records] == ["alone"]
    assert log_api.posts[0].headers["X-Token"] == "t"
    native.let_go(joined)
    assert alive() is None


def test_what_is_let_go_without_the_interpreter_lock_goes_with_the_next_capsule(
    native, make_handler, log_api
):
    handler = LogAggregatorHandler(log_api.endpoint)
    first, second = native.join(handler, "native"), native.join(handler, "native")
    alive = weakref.ref(handler)
    del handler
    native.let_go_elsewhere(first)
    native.let_go_elsewhere(second)
    assert alive() is not None
    assert make_handler().capsule
    assert alive() is None


def test_what_cpp_logs_to_a_handler_that_python_has_closed_is_counted(
    native, make_handler, log_api
):
    """Threads log when it is closed: each has one record that is refused, and all before it."""
    handler = make_handler(overflow="block", block_timeout=60.0, queue_bytes=1 << 20)
    joined = native.join(handler, "native")
    native.log_until_refused(joined, 4)
    log_api.wait_for(1_000)
    handler.close()
    native.finish()
    assert not native.log(joined, logging.INFO, "too late")
    accepted, delivered, closed = native.stats(joined)
    by_thread: dict[str, list[int]] = {f"native-{n}": [] for n in range(4)}
    # The handler's own notice of drops may be among them.
    for record in log_api.records:
        if record["logger_name"] == "native":
            by_thread[record["message"]].append(record["extra"]["i"])
    assert all(numbers == list(range(len(numbers))) for numbers in by_thread.values())
    assert closed == 5
    assert accepted == delivered + closed
    assert handler.stats()["dropped"]["closed"] == closed


@pytest.mark.parametrize(
    "wrong",
    [
        lambda native: object(),
        lambda native: None,
        lambda native: logging.NullHandler(),
        lambda native: type("Odd", (), {"capsule": "text"})(),
        lambda native: type("Odd", (), {"capsule": native.foreign_capsule()})(),
    ],
    ids=["object", "None", "other handler", "no capsule", "foreign capsule"],
)
def test_other_objects_are_refused(native, wrong):
    thing = wrong(native)
    with pytest.raises(ValueError, match=f"LogAggregatorHandler.*not {type(thing).__name__}"):
        native.join(thing, "native")


def test_a_handler_of_a_later_version_is_refused(native, make_handler):
    with pytest.raises(ValueError, match=r"version 2.*knows version 1"):
        native.join_newer(make_handler())


def test_ctrl_c_while_a_handler_is_joined_is_not_lost(native):
    class Interrupted:
        @property
        def capsule(self):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), contextlib.suppress(ValueError):
        native.join(Interrupted(), "native")


def test_a_handler_that_finds_no_memory_is_told_as_that(native):
    class Greedy:
        @property
        def capsule(self):
            raise MemoryError

    with pytest.raises(MemoryError):
        native.join(Greedy(), "native")


# ---- copies of the library


def exports_of(module: str | Path) -> list[str]:
    """The names by which other code could find something in it, or find its own in the place."""
    command = ["nm", "--dynamic", "--defined-only", "--format=posix", str(module)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [line.split()[0] for line in done.stdout.splitlines()]


def test_what_python_looks_for_is_all_that_the_package_exports(extensions):
    assert exports_of(_core.__file__) == ["PyInit__core"]
    [example] = Path(extensions[1]).glob("pricing.*.so")
    assert exports_of(example) == ["PyInit_pricing"]


def test_an_extension_exports_none_of_the_librarys_functions(extensions):
    [native] = Path(extensions[0]).glob("native.*.so")
    exports = exports_of(native)
    assert "PyInit_native" in exports
    assert not [name for name in exports if re.match("_ZNK?14log_aggregator", name)]


# ---- forks and ends

SETUP = """
import logging, os, sys, threading, warnings
import native
from log_aggregator_handler import LogAggregatorHandler

warnings.filterwarnings("ignore", "This process", DeprecationWarning)  # of forks, since 3.12
handler = LogAggregatorHandler(
    sys.argv[1], timeout=1, flush_interval=60, close_timeout=float(sys.argv[2]),
    overflow=sys.argv[3], block_timeout=60, queue_bytes=1 << 20, fallback_logger="quiet",
)
logging.getLogger("quiet").propagate = False
logging.getLogger("quiet").addHandler(logging.NullHandler())
logger = logging.getLogger("app")
logger.setLevel("INFO")
logger.addHandler(handler)
joined = native.join(handler, "native")
"""


@pytest.fixture
def run(run_python, log_api, extensions):
    """Runs SETUP and a program, which ends well."""

    def start(program, close_timeout=10.0, overflow="drop_newest"):
        path = os.pathsep.join([*extensions, *sys.path])
        result = run_python(
            SETUP + program,
            *(log_api.endpoint, str(close_timeout), overflow),
            env={**os.environ, "PYTHONPATH": path},
        )
        # At the end of a program reports of drops go there.
        said = [
            line
            for line in result.stderr.splitlines()
            if not line.startswith("log-aggregator-handler: ")
        ]
        assert (result.returncode, said) == (0, [])
        return [record["message"] for record in log_api.records]

    return start


def test_a_program_that_ends_delivers_what_cpp_has_logged(run):
    assert run("native.log(joined, 20, 'last words')") == ["last words"]


def test_what_only_cpp_still_holds_is_delivered_at_the_end(run):
    program = "logger.handlers.clear(); del handler; native.log(joined, 20, 'last words')"
    assert run(program) == ["last words"]


def test_a_forked_child_and_its_parent_deliver_what_each_has_logged(run, log_api):
    messages = run(
        """
native.log(joined, 20, "parent, before")
logger.info("parent, before")
child = os.fork()
if child == 0:
    native.log(joined, 20, "child")
    logger.info("child")
    native.start(joined, 1, 1)
    native.finish()
    os._exit(0 if native.flush(joined) and native.stats(joined)[1] == 3 else 1)
status = os.waitpid(child, 0)[1]
native.log(joined, 20, "parent, status %d" % status)
"""
    )
    assert sorted(messages) == sorted(
        ["parent, before", "parent, before", "child", "child", "native-0", "parent, status 0"]
    )
    processes = {record["process"] for record in log_api.records if "child" in record["message"]}
    assert len(processes) == 1
    assert {r["process"] for r in log_api.records if "native" in r["message"]} == processes
    assert {r["process"] for r in log_api.records if "parent" in r["message"]} != processes


def test_native_threads_that_log_until_the_process_is_gone_do_no_harm(run):
    messages = run("native.log_for_ever(joined, 4)", close_timeout=0.5)
    assert messages.count("first") == 4


def test_threads_of_python_that_wait_in_cpp_while_the_interpreter_ends_do_no_harm(run):
    """Each is refused the interpreter lock, in the middle of a C++ function that may not throw."""
    run(
        """
waited = threading.Barrier(5)
def wait():
    native.check_connection(joined)
    waited.wait()
    while True:
        native.check_connection(joined)
for _ in range(4):
    threading.Thread(target=wait, daemon=True).start()
waited.wait()
"""
    )


def test_threads_of_python_that_wait_for_room_while_the_interpreter_ends_do_no_harm(run, log_api):
    log_api.hang()
    run(
        """
def log():
    while True:
        native.log(joined, 20, 1000 * "x")
for _ in range(4):
    threading.Thread(target=log, daemon=True).start()
while handler.stats()["pending_bytes"] < 900_000:
    pass
""",
        close_timeout=0.2,
        overflow="block",
    )


def test_a_handler_may_be_used_when_the_interpreter_is_gone(run):
    program = "assert native.at_exit(joined, True); native.log(joined, 20, 'before')"
    assert run(program) == ["before"]


def test_an_auth_callable_is_not_asked_when_the_interpreter_is_gone(run):
    messages = run(
        """
asking = LogAggregatorHandler(sys.argv[1], auth=lambda: {"X-Token": "t"})
number = native.join(asking, "native")
assert native.at_exit(number, False)
native.log(number, 20, "before")
"""
    )
    assert messages == ["before"]


def test_a_handler_that_could_not_deliver_may_be_used_when_the_interpreter_is_gone(run, log_api):
    log_api.hang()
    program = "assert native.at_exit(joined, False); native.log(joined, 20, 'x')"
    assert run(program, 0.2) == []


# ---- sub-interpreters

SUB_INTERPRETER = """
if sys.version_info >= (3, 13):
    import _interpreters
    sub, run_string = _interpreters.create("legacy"), _interpreters.exec
else:
    import _xxsubinterpreters as _interpreters
    sub, run_string = _interpreters.create(isolated=False), _interpreters.run_string
"""


def test_what_a_sub_interpreter_lets_go_of_goes_with_the_next_capsule(run):
    """Its thread has no business with objects of the main interpreter."""
    run(
        SUB_INTERPRETER
        + """
import weakref
logger.handlers.clear()
alive = weakref.ref(handler)
del handler
run_string(sub, "import native, threading\\n"
    "thread = threading.Thread(target=native.let_go, args=(0,))\\n"
    "thread.start()\\nthread.join()")
assert alive() is not None
LogAggregatorHandler(sys.argv[1]).capsule
assert alive() is None
_interpreters.destroy(sub)
"""
    )


# ---- the example


def test_the_example_logs_from_both_sides_in_one_sequence(run_python, extensions, collector):
    program = ROOT / "examples" / "python_extension" / "shop.py"
    path = os.pathsep.join([*extensions, *sys.path])
    result = run_python(
        program.read_text(), collector.endpoint, env={**os.environ, "PYTHONPATH": path}
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    stored = [(r["logger_name"], r["message"], r["extra"]["order"]) for r in collector.records()]
    assert stored == [
        ("shop.orders", "order received", 1),
        ("shop.pricing", "order priced", 1),
        ("shop.orders", "order taken", 1),
        ("shop.orders", "order received", 2),
        ("shop.pricing", "many items, price reduced", 2),
        ("shop.pricing", "order priced", 2),
        ("shop.orders", "order taken", 2),
        ("shop.orders", "order received", 3),
        ("shop.pricing", "order priced", 3),
        ("shop.orders", "order taken", 3),
    ]
    [journal] = collector.request("GET", "/api/gaps?all=1").json()["journals"]
    assert (journal["stored"], journal["last"], journal["missing"]) == (10, 10, [])
