"""docs/requirements-coverage.md names tests that exist, and every option of the handler."""

from __future__ import annotations

import inspect
import pathlib
import re

import pytest

from log_aggregator_handler import LogAggregatorHandler

HERE = pathlib.Path(__file__).parent
TABLE = (HERE.parents[1] / "docs" / "requirements-coverage.md").read_text()


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`(test_\w+\.py::\w+)`", TABLE))))
def test_each_test_in_the_table_exists(name):
    file, _, function = name.partition("::")
    assert f"\ndef {function}(" in (HERE / file).read_text()


def test_each_row_names_a_test():
    rows = [line for line in TABLE.splitlines() if line.startswith("| ")]
    headings = ("| requirement |", "| option |", "| rule |")
    assert len(rows) > 60
    for row in rows:
        assert row.startswith(headings) or "::test_" in row, row


@pytest.mark.parametrize("option", inspect.signature(LogAggregatorHandler).parameters)
def test_each_option_is_in_the_table(option):
    assert f"`{option}`" in TABLE
