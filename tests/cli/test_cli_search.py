"""`log-aggregator search`, and the query of `tail`, against the real collector."""

from __future__ import annotations

import datetime
import json
import os
import subprocess

import pytest


@pytest.fixture
def search(command, collector):
    """Runs `search` with these arguments to its end."""

    def run(*arguments):
        return subprocess.run(
            [command, "search", *arguments],
            capture_output=True,
            text=True,
            timeout=30,
            env={**os.environ, "LOG_AGGREGATOR_API_ENDPOINT": collector.endpoint},
        )

    return run


@pytest.fixture
def shop(collector):
    """A collector with a few records of a shop."""
    now = datetime.datetime.now(datetime.timezone.utc)
    ages = {"paid": 1, "refused": 3, "opened": 90}  # minutes
    collector.post(
        [
            {
                "message": f"order {what} by card",
                "level": "ERROR" if what == "refused" else "INFO",
                "logger_name": "shop.orders",
                "host": "web-1",
                "timestamp": (now - datetime.timedelta(minutes=age)).isoformat(),
                "extra": {"user_id": 120 + age},
            }
            for what, age in ages.items()
        ]
    )
    return collector


def found(result):
    assert (result.returncode, result.stderr) == (0, "")
    return [json.loads(line)["message"].split()[1] for line in result.stdout.splitlines()]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), ["paid", "refused", "opened"]),
        (("order", "card"), ["paid", "refused", "opened"]),
        (('"paid by"',), ["paid"]),
        (("level>=WARNING",), ["refused"]),
        (("user_id=123",), ["refused"]),
        (("--", "-paid", "-refused"), ["opened"]),
        (("--from", "1h"), ["paid", "refused"]),
        (("--to", "2m", "--from", "1h"), ["refused"]),
        (("--to", "1970-01-01T00:00:00Z"), []),
        (("-n", "2"), ["refused", "opened"]),
        (("--level", "INFO", "--logger", "shop.orders", "--host", "web-1"), ["paid", "opened"]),
    ],
)
def test_search_shows_what_is_found_in_order_of_arrival(shop, search, arguments, expected):
    assert found(search("--json", *arguments)) == expected


def test_search_follows_all_pages_up_to_its_limit(collector, search):
    for start in range(0, 25_000, 5_000):
        collector.post([{"message": f"m {i}"} for i in range(start, start + 5_000)])
    assert found(search("--json", "-n", "22000", "m")) == [str(i) for i in range(3_000, 25_000)]


def test_search_prints_text_that_is_harmless(collector, search):
    collector.post({"message": "evil \x1b[31m\nforged", "level": "INFO"})
    result = search("evil")
    assert result.stdout.count("\n") == 1
    assert "evil \\x1b[31m\\nforged" in result.stdout


def test_search_points_at_what_is_wrong_in_a_query(shop, search):
    result = search("größer", "level>=LOUD")
    assert result.returncode == 2
    assert result.stdout == ""
    message, query, mark = result.stderr.splitlines()
    assert "character 15: this is no level" in message
    assert query == "  größer level>=LOUD"
    assert mark == "  " + " " * 14 + "^" * 4


def test_search_takes_no_time_that_it_does_not_understand(shop, search):
    result = search("--from", "yesterday")
    assert result.returncode == 2
    assert "--from must be an age such as 15m" in result.stderr


def test_search_says_when_the_collector_cannot_be_reached(shop, search):
    shop.stop()
    result = search("order")
    assert result.returncode == 1
    assert "cannot reach" in result.stderr


def test_tail_takes_a_query_and_points_at_what_is_wrong_in_it(shop, command):
    def tail(query):
        return subprocess.run(
            [command, "tail", "--endpoint", shop.endpoint, "--no-follow", "--query", query],
            capture_output=True,
            text=True,
            timeout=30,
        )

    assert tail("level:ERROR").stdout.count("order refused") == 1
    wrong = tail('"open')
    assert wrong.returncode == 2
    assert wrong.stderr.splitlines()[1:] == ['  "open', "  ^"]
