"""The scripts behind ./run tell good from bad."""

import subprocess
import sys
from pathlib import Path

import check_includes
import pytest
import summarise_tests

ROOT = Path(__file__).resolve().parents[2]

CTEST = """<testsuite>
<testcase name="Journal.keeps_order" classname="Journal.keeps_order" status="run"/>
<testcase name="Journal.cow" classname="Journal.cow" status="notrun">
<skipped message="SKIP_REGULAR_EXPRESSION_MATCHED"/>
<system-out>src/a_test.cc:9: Skipped
no btrfs here
</system-out></testcase>
{more}</testsuite>"""


def summarise(tmp_path, capsys, *texts):
    paths = []
    for number, text in enumerate(texts):
        paths.append(tmp_path / f"suite{number}.xml")
        if text is not None:
            paths[-1].write_text(text)
    status = summarise_tests.main([str(path) for path in paths])
    return status, capsys.readouterr().out.splitlines()


def test_suites_are_summed_and_skips_named_with_their_reason(tmp_path, capsys):
    status, lines = summarise(tmp_path, capsys, CTEST.format(more=""), CTEST.format(more=""))
    assert status == 0
    assert lines[-1] == "2 passed, 0 failed, 2 skipped"
    assert "  skipped: Journal.cow: no btrfs here" in lines


@pytest.mark.parametrize(
    "case",
    [
        '<testcase name="t" status="fail"><failure message="Failed"/></testcase>',
        '<testcase name="t"><error message="died"/></testcase>',
        '<testcase name="t" status="notrun"/>',
        '<testcase name="t" status="disabled"/>',
    ],
)
def test_what_failed_or_did_not_run_is_a_failure(tmp_path, capsys, case):
    status, lines = summarise(tmp_path, capsys, CTEST.format(more=case))
    assert status == 1
    assert lines[-1] == "1 passed, 1 failed, 1 skipped"


@pytest.mark.parametrize("text", [None, "<testsuite/>", "<testsui"])
def test_a_suite_without_results_is_a_failure(tmp_path, capsys, text):
    status, lines = summarise(tmp_path, capsys, CTEST.format(more=""), text)
    assert status == 1
    assert lines[-1] == "1 passed, 1 failed, 1 skipped"


def includes(tmp_path, source, line):
    for header in (
        "src/base/a.h",
        "src/deliver/b.h",
        "src/testing/c.h",
        "include/log_aggregator/handler.h",
    ):
        (tmp_path / header).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / header).touch()
    (tmp_path / source).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / source).write_text(f"// one\n{line}\n")
    return list(check_includes.wrong_includes(tmp_path))


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("src/base/x.cc", '#include "src/deliver/b.h"'),
        ("src/journal/x.cc", '#include "src/deliver/b.h"'),
        ("collector/http/x.cc", '#include "log_aggregator/handler.h"'),
        ("src/deliver/x.cc", '#include "src/testing/c.h"'),
        ("python/binding/x.cc", '#  include "src/base/a.h"'),
    ],
)
def test_an_include_that_points_upward_is_refused(tmp_path, source, line):
    (found,) = includes(tmp_path, source, line)
    assert found.startswith(f"{source}:2: ")


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("src/deliver/x.cc", '#include "src/base/a.h"'),
        ("src/deliver/x.cc", "#include <vector>"),
        ("src/deliver/x_test.cc", '#include "src/testing/c.h"'),
        ("collector/x.cc", '#include "src/base/a.h"'),
        ("cli/x.cc", "#include <log_aggregator/handler.h>"),
    ],
)
def test_other_includes_pass(tmp_path, source, line):
    assert includes(tmp_path, source, line) == []


def test_help_lists_every_command_of_run():
    text = subprocess.run([ROOT / "run", "help"], capture_output=True, text=True, check=True).stdout
    for command in (
        "setup",
        "demo [--once]",
        "test",
        "bench [--quick]",
        "soak",
        "screenshots",
        "check",
        "wheel",
    ):
        assert f"\n  {command} " in text


def test_an_unknown_command_of_run_is_refused():
    done = subprocess.run([ROOT / "run", "tset"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "tset" in done.stderr


def test_the_installed_package_is_what_the_tests_import():
    import log_aggregator_handler

    assert Path(log_aggregator_handler.__file__).is_relative_to(sys.prefix)
