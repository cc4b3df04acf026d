"""CPython's own tests of logging, with and without accelerate()."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys

import pytest

# It prints a line of JSON; what the tests print goes elsewhere.
PROGRAM = """
import json, logging, sys, unittest
if sys.argv[1] == "accelerated":
    import log_aggregator_handler
    log_aggregator_handler.accelerate()
from test import test_logging

class Result(unittest.TextTestResult):
    succeeded = ()
    def addSuccess(self, test):
        super().addSuccess(test)
        self.succeeded += (test.id(),)

before = logging.Logger.info
with open("output", "w") as output:
    suite = unittest.defaultTestLoader.loadTestsFromModule(test_logging)
    result = unittest.TextTestRunner(output, resultclass=Result).run(suite)
print(json.dumps({
    "run": result.testsRun,
    "succeeded": sorted(result.succeeded),
    "skipped": sorted([test.id(), reason] for test, reason in result.skipped),
    "failed": sorted([test.id(), text] for test, text in result.failures + result.errors),
    "still": logging.Logger.info is before,
    "kind": type(before).__name__,
}))
"""


def has_tests():
    try:
        return importlib.util.find_spec("test.test_logging") is not None
    except ModuleNotFoundError:
        return False


def test_the_tests_of_cpython_pass_with_accelerate_all_that_pass_without(tmp_path):
    if not has_tests():
        pytest.skip("this Python comes without test.test_logging")
    runs = {}
    for way in ("plain", "accelerated"):
        directory = tmp_path / way  # one of the tests writes into the current directory
        directory.mkdir()
        runs[way] = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, way],
            cwd=directory,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    results = {}
    try:
        for way, process in runs.items():
            output, errors = process.communicate(timeout=110)
            assert process.returncode == 0, errors
            results[way] = json.loads(output.splitlines()[-1])
    finally:
        for process in runs.values():
            process.kill()
    for way, result in results.items():
        counts = {name: len(result[name]) for name in ("succeeded", "skipped", "failed")}
        print(f"test_logging, {way}: {result['run']} run, {counts}")
    plain, accelerated = results["plain"], results["accelerated"]
    assert (plain.pop("kind"), accelerated.pop("kind")) == ("function", "method_descriptor")
    assert accelerated["failed"] == []
    assert accelerated["still"]
    assert accelerated == plain
    assert len(accelerated["succeeded"]) > 150
