"""`log-aggregator gaps` against the real collector and against hostile servers."""

from __future__ import annotations

import json
import socket
import subprocess
import uuid

import pytest

JOURNAL = "6f1c0f6e-0b57-4c39-9f5b-7f0f3a6d2c11"


def run(command, *arguments):
    return subprocess.run([command, "gaps", *arguments], capture_output=True, text=True, timeout=30)


def gaps(command, collector, *arguments):
    return run(command, "--endpoint", collector.endpoint, *arguments)


def post(collector, first: int, last: int, skipped: str | None = None, journal: str = JOURNAL):
    headers = {
        "Log-Aggregator-Journal": journal,
        "Log-Aggregator-Sequence": f"{first}-{last}",
    }
    if skipped:
        headers["Log-Aggregator-Skipped"] = skipped
    records = [{"message": "m", "host": "web-1"}] * (last - first + 1)
    assert collector.post(records, headers).status == 200


def test_without_gaps_it_says_so_and_exits_with_0(command, collector):
    post(collector, 1, 5)
    result = gaps(command, collector)
    assert (result.returncode, result.stdout, result.stderr) == (0, "no gaps\n", "")


def test_missing_and_skipped_ranges_are_shown_and_missing_ones_exit_with_1(command, collector):
    post(collector, 1, 10)
    post(collector, 1_234_567, 1_234_567, skipped="20-1019")
    result = gaps(command, collector)
    assert result.returncode == 1
    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines[0][:6] == ["journal", JOURNAL, "on", "web-1,", "last", "heard"]
    assert "11 stored, 1,233,556 missing, 1,000 skipped, up to number 1,234,567" in result.stdout
    assert lines[2:] == [
        ["first", "last", "records"],
        ["missing", "11", "-", "19", "9"],
        ["missing", "1,020", "-", "1,234,566", "1,233,547"],
        ["skipped", "20", "-", "1,019", "1,000"],
        ["1,233,556", "missing", "and", "1,000", "skipped", "in", "1", "journal"],
    ]


def test_what_was_only_given_up_exits_with_0(command, collector):
    post(collector, 1, 2, skipped="3-4")
    result = gaps(command, collector)
    assert result.returncode == 0
    assert "0 missing and 2 skipped in 1 journal" in result.stdout


def test_journals_without_gaps_are_shown_with_all(command, collector):
    post(collector, 1, 5)
    result = gaps(command, collector, "--all")
    assert result.returncode == 0
    assert JOURNAL in result.stdout
    assert "5 stored, 0 missing, 0 skipped" in result.stdout
    assert "first" not in result.stdout


def test_one_journal_may_be_chosen(command, collector):
    other = str(uuid.uuid4())
    post(collector, 2, 2)
    post(collector, 1, 1, journal=other)
    assert gaps(command, collector, "--journal", other).returncode == 0
    result = gaps(command, collector, "--journal", JOURNAL)
    assert (result.returncode, other in result.stdout) == (1, False)


def test_json_is_one_object_per_journal_as_the_collector_answers_it(command, collector):
    journals = [str(uuid.uuid4()) for _ in range(120)]  # more than one page
    for journal in journals:
        post(collector, 3, 4, skipped="1", journal=journal)
    result = gaps(command, collector, "--json")
    assert result.returncode == 1
    shown = [json.loads(line) for line in result.stdout.splitlines()]
    assert [each["journal"] for each in shown] == journals[::-1]
    assert shown[0]["missing"] == [[2, 2]]
    assert shown[0]["skipped"] == [[1, 1]]


def test_a_list_that_was_cut_is_marked(command, collector):
    for first in range(2, 4_000, 90):
        numbers = range(first, first + 90, 2)
        headers = {
            "Log-Aggregator-Journal": JOURNAL,
            "Log-Aggregator-Sequence": ",".join(map(str, numbers)),
        }
        assert collector.post([{"message": "m"}] * len(numbers), headers).status == 200
    result = gaps(command, collector)
    assert result.stdout.count("  missing") == 1_000
    assert "more than can be listed" in result.stdout


def test_a_token_is_shown(command, start_collector, tmp_path):
    tokens = tmp_path / "tokens"
    tokens.write_text("right\n")
    collector = start_collector("--token-file", str(tokens))
    assert gaps(command, collector, "--token-file", str(tokens)).returncode == 0
    refused = gaps(command, collector)
    assert refused.returncode == 1
    assert "token" in refused.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["--endpoint", "ftp://h/api/logs"],
        ["--endpoint", "http://127.0.0.1:1/api/logs", "--journal", "x"],
        ["--endpoint", "http://127.0.0.1:1/api/logs", "--colour"],
    ],
)
def test_a_wrong_call_exits_with_2(command, arguments):
    result = run(command, *arguments)
    assert result.returncode == 2
    assert len(result.stderr.splitlines()) == 1


def test_a_collector_that_cannot_be_reached_exits_with_1_and_says_why(command):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    result = run(command, "--endpoint", f"http://127.0.0.1:{port}/api/logs")
    assert (result.returncode, result.stdout) == (1, "")
    assert "refused" in result.stderr


GOOD = {
    "journal": JOURNAL,
    "host": "h",
    "last_seen": None,
    "stored": 1,
    "last": 2,
    "missing": [[1, 1]],
    "missing_count": 1,
    "skipped": [],
    "skipped_count": 0,
    "truncated": False,
}


@pytest.mark.parametrize(
    "change",
    [
        {"stored": -1},
        {"stored": "many"},
        {"missing": [[2, 1]]},
        {"missing": [[1]]},
        {"missing": [1]},
        {"missing": None},
        {"journal": 7},
        {"truncated": 0},
    ],
    ids=str,
)
def test_an_answer_that_is_malformed_is_refused(command, serve_answer, change):
    body = {"journals": [{**GOOD, **change}], "next": None}
    result = run(command, "--endpoint", serve_answer(200, json.dumps(body).encode()))
    assert (result.returncode, result.stdout) == (1, "")
    assert "not a list of gaps" in result.stderr


@pytest.mark.parametrize(
    ("status", "body"), [(200, b"<html>"), (200, b"[]"), (200, b"{}"), (404, b""), (500, b"\x1b")]
)
def test_an_answer_of_something_else_is_refused(command, serve_answer, status, body):
    result = run(command, "--endpoint", serve_answer(status, body))
    assert (result.returncode, result.stdout) == (1, "")
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("arguments", [[], ["--json"]])
def test_nothing_in_an_answer_can_control_the_terminal(command, serve_answer, arguments):
    hostile = "\x1b[31m\x9b1m\u202e\r\n\x07"
    journal = {**GOOD, "journal": hostile, "host": hostile, "last_seen": hostile, hostile: hostile}
    body = json.dumps({"journals": [journal], "next": None}, ensure_ascii=False).encode()
    result = run(command, "--endpoint", serve_answer(200, body), *arguments)
    assert result.returncode == 1
    for character in "\x1b\x9b\u202e\r\x07":
        assert character not in result.stdout
    if arguments:
        assert json.loads(result.stdout)["host"] == hostile
