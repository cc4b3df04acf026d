"""Levels: the standard names, custom ones, and level_map."""

from __future__ import annotations

import logging

import pytest

from log_aggregator_handler import LogAggregatorHandler

ENDPOINT = "http://127.0.0.1:9/api/logs"
STANDARD = ["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]


def log_all(log):
    for name in STANDARD:
        log.log(getattr(logging, name), "x")


def test_standard_levels_arrive_under_their_names(shipped):
    assert [record["level"] for record in shipped(log_all)] == STANDARD


@pytest.mark.parametrize(
    "level_map",
    [
        {"WARNING": "warn", "CRITICAL": "fatal"},
        {"warning": "warn", "Critical": "fatal"},
        {30: "warn", 50: "fatal"},
        {"WARNING": "warn", 50: "fatal"},
    ],
)
def test_level_map_takes_names_of_any_case_and_numbers(shipped, level_map):
    levels = [record["level"] for record in shipped(log_all, level_map=level_map)]
    assert levels == ["DEBUG", "INFO", "warn", "ERROR", "fatal"]


def test_a_number_in_level_map_wins_over_a_name(shipped):
    [record] = shipped(lambda log: log.info("x"), level_map={"INFO": "by name", 20: "by number"})
    assert record["level"] == "by number"


def test_an_empty_level_map_changes_nothing(shipped):
    assert [record["level"] for record in shipped(log_all, level_map={})] == STANDARD


@pytest.fixture
def notice():
    logging.addLevelName(25, "Notice")
    yield 25
    logging._levelToName.pop(25)
    logging._nameToLevel.pop("Notice")


def test_custom_levels_arrive_under_their_names(shipped, notice):
    [record] = shipped(lambda log: log.log(notice, "x"))
    assert record["level"] == "Notice"


def test_custom_levels_can_be_mapped(shipped, notice):
    [record] = shipped(lambda log: log.log(notice, "x"), level_map={"NOTICE": "INFO"})
    assert record["level"] == "INFO"


def test_levels_without_a_name_arrive_as_logging_calls_them(shipped):
    [record] = shipped(lambda log: log.log(33, "x"))
    assert record["level"] == "Level 33"


@pytest.mark.parametrize(("levelname", "text"), [(None, "None"), (5, "5"), ("", "")])
def test_a_level_name_of_another_type_does_not_lose_the_record(shipped, levelname, text):
    record = logging.LogRecord("app", 20, "f.py", 1, "hello", (), None)
    record.levelname = levelname
    [arrived] = shipped(lambda log: log.handlers[0].handle(record), level_map={"X": "y"})
    assert arrived["level"] == text


@pytest.mark.parametrize("levelno", [None, "20", 2.5, 10**30, -(10**30)])
def test_a_level_number_of_another_type_does_not_lose_the_record(shipped, levelno):
    record = logging.LogRecord("app", 20, "f.py", 1, "hello", (), None)
    record.levelno = levelno
    [arrived] = shipped(lambda log: log.handlers[0].handle(record), level_map={20: "y"})
    assert arrived["level"] == "INFO"


@pytest.mark.parametrize(
    "level_map", ["INFO", [("INFO", "i")], {"INFO": 1}, {"INFO": None}, {1.5: "x"}, {None: "x"}]
)
def test_a_level_map_of_another_type_is_a_type_error(level_map):
    with pytest.raises(TypeError, match="level_map"):
        LogAggregatorHandler(ENDPOINT, level_map=level_map)
