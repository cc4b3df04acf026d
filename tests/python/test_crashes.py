"""crash_handler: a process that really crashes leaves a record of it, and faulthandler works on."""

from __future__ import annotations

import signal

import pytest

from log_aggregator_handler import LogAggregatorHandler
from reliability.puppet import STEP_TIMEOUT_S, Puppet

NOBODY = "http://127.0.0.1:9/api/logs"
SEGFAULT = "import ctypes; ctypes.string_at(0)"
ENABLE = "import faulthandler; faulthandler.enable()"
TRACEBACK = "Fatal Python error: Segmentation fault"


@pytest.fixture
def crash(spool):
    """A function: runs the steps, logs three records, crashes; returns its exit code and stderr."""

    def run(*steps: str, code: str = SEGFAULT) -> tuple[int, str]:
        with Puppet(NOBODY, spool_dir=spool, crash_handler=True, fields={"service": "shop"}) as app:
            for step in steps:
                app.do(step)
            app.log(3)
            app.send(code)
            return app.process.wait(STEP_TIMEOUT_S), app.errors()

    return run


def deliver(endpoint, spool, records):
    """A next start, until it has delivered so many of those that crashed."""
    with Puppet(endpoint, spool_dir=spool, crash_handler=True) as app:
        app.do(
            "own = handler()\n"
            f"while own.stats()['adopted_delivered'] < {records}: time.sleep(0.01)\n"
            "own.close()"
        )
    assert list(spool.iterdir()) == []


def test_a_segfault_leaves_the_last_records_and_one_of_the_crash(crash, collector, spool):
    assert crash()[0] == -signal.SIGSEGV
    deliver(collector.endpoint, spool, 4)
    assert [r["message"] for r in collector.records(logger="shop.orders")] == ["0 ", "1 ", "2 "]
    [record] = collector.records(logger="log_aggregator.crash")
    assert record["level"] == "CRITICAL"
    assert record["service"] == "shop"
    assert record["message"].startswith("crashed: SIGSEGV (address not mapped) at 0x0 in thread ")
    assert record["extra"]["signal"] == "SIGSEGV"
    assert "_ctypes" in record["stack"]
    gaps = collector.request("GET", "/api/gaps?all=1").json()["journals"]
    assert all(journal["missing"] == [] for journal in gaps)


@pytest.mark.parametrize(
    "steps",
    [(), (ENABLE,), ("handler()", ENABLE), (ENABLE, "handler()", ENABLE)],
    ids=["never", "before", "after", "twice"],
)
def test_faulthandler_prints_its_traceback_whenever_it_was_enabled(crash, log_api, spool, steps):
    code, errors = crash(*steps)
    assert code == -signal.SIGSEGV
    assert errors.count(TRACEBACK) == (1 if steps else 0)
    deliver(log_api.endpoint, spool, 4)
    [record] = [r for r in log_api.records if r["logger_name"] == "log_aggregator.crash"]
    assert record["message"].startswith("crashed: SIGSEGV")
    assert "_ctypes" in record["stack"]


def test_faulthandler_of_the_command_line_prints_its_traceback(crash, log_api, spool, monkeypatch):
    monkeypatch.setenv("PYTHONFAULTHANDLER", "1")
    code, errors = crash()
    assert code == -signal.SIGSEGV
    assert errors.count(TRACEBACK) == 1
    deliver(log_api.endpoint, spool, 4)
    assert [r["message"] for r in log_api.records if "crashed" in r["message"]]


def test_a_child_of_a_fork_tells_of_its_own_crash(crash, log_api, spool):
    fork = f"""
child = os.fork()
if child == 0:
    logger.info("child")
    {SEGFAULT}
os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGSEGV)
"""
    assert crash(code=fork)[0] == 1
    deliver(log_api.endpoint, spool, 5)
    [record] = [r for r in log_api.records if r["logger_name"] == "log_aggregator.crash"]
    [child] = [r for r in log_api.records if r["message"] == "child"]
    assert record["process"] == child["process"]


def test_an_orderly_end_leaves_nothing_of_it(log_api, spool):
    handler = LogAggregatorHandler(log_api.endpoint, spool_dir=spool, crash_handler=True)
    assert len(list(spool.iterdir())) == 1
    handler.close()
    assert list(spool.iterdir()) == []
