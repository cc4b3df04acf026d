"""GET /api/logs of the real collector: order, pages, filters, bad parameters."""

from __future__ import annotations

import pytest


def fill(collector, count: int) -> None:
    records = [
        {
            "message": f"m{i}",
            "number": i,
            "level": ["DEBUG", "INFO", "ERROR"][i % 3],
            "logger_name": ["app", "app.db"][i % 2],
            "host": f"h{i % 5}",
            "timestamp": f"2025-03-27T08:{i // 60:02}:{i % 60:02}.000000+00:00",
        }
        for i in range(count)
    ]
    assert collector.post(records).status == 200


def page(collector, query: str = "") -> dict:
    answer = collector.request("GET", f"/api/logs?{query}")
    assert answer.status == 200, answer
    return answer.json()


def numbers(found: dict) -> list[int]:
    return [each["number"] for each in found["records"]]


def test_an_empty_store_answers_an_empty_page(collector):
    assert page(collector) == {"records": [], "next": None}


def test_the_newest_come_first_and_a_hundred_without_a_limit(collector):
    fill(collector, 150)
    assert numbers(page(collector)) == list(range(149, 49, -1))


def test_pages_follow_each_other_exactly_also_while_records_arrive(collector):
    fill(collector, 25)
    first = page(collector, "limit=10")
    fill(collector, 5)
    second = page(collector, f"limit=10&before={first['next']}")
    third = page(collector, f"limit=10&before={second['next']}")
    assert numbers(first) + numbers(second) + numbers(third) == list(range(24, -1, -1))
    assert third["next"] is None


def test_a_page_that_is_just_full_knows_that_it_is_the_last(collector):
    fill(collector, 10)
    assert page(collector, "limit=10")["next"] is None


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("level=ERROR", lambda i: i % 3 == 2),
        ("level=ERROR&level=DEBUG", lambda i: i % 3 != 1),
        ("logger=app", lambda i: i % 2 == 0),
        ("host=h3", lambda i: i % 5 == 3),
        ("level=INFO&logger=app.db&host=h1", lambda i: i % 30 in (1, 31)),
        ("from=2025-03-27T08:00:10Z", lambda i: i >= 10),
        ("to=2025-03-27T08:00:10Z", lambda i: i < 10),
        ("from=2025-03-27T08:00:10Z&to=2025-03-27T08:00:20Z", lambda i: 10 <= i < 20),
        ("from=2025-03-27T10:00:10%2B02:00", lambda i: i >= 10),
        ("from=2025-03-27T10:00:10+02:00", lambda i: i >= 10),
        ("level=error", lambda i: False),
        ("host=", lambda i: False),
    ],
)
def test_filters_select_what_matches_all_of_them(collector, query, expected):
    fill(collector, 60)
    found = page(collector, f"limit=1000&{query}")
    assert numbers(found) == [i for i in range(59, -1, -1) if expected(i)]


def test_filtered_pages_follow_each_other_exactly(collector):
    fill(collector, 60)
    seen, before = [], ""
    while True:
        found = page(collector, f"limit=7&level=INFO&from=2025-03-27T08:00:03Z{before}")
        seen += numbers(found)
        if found["next"] is None:
            break
        before = f"&before={found['next']}"
    assert seen == [i for i in range(59, 2, -1) if i % 3 == 1]


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("limit=0", "limit"),
        ("limit=10001", "limit"),
        ("limit=ten", "limit"),
        ("limit=-1", "limit"),
        ("before=abc", "before"),
        ("before=1%20OR%201=1", "before"),
        ("from=yesterday", "from"),
        ("to=2025-03-27T08:00:10", "to"),
        ("colour=red", "colour"),
        ("%0d%0aSet-Cookie:x=1", "Set-Cookie"),
        ("host=%zz", "encoded"),
    ],
)
def test_a_bad_parameter_is_400_and_named(collector, query, named):
    answer = collector.request("GET", f"/api/logs?{query}")
    assert answer.status == 400
    assert named in answer.json()["error"]
    assert "Set-Cookie" not in answer.headers


def test_a_page_of_large_records_ends_early_and_the_cursor_finds_the_rest(collector):
    text = "x" * (6 << 20)
    for i in range(4):
        collector.post({"message": text, "number": i})
    first = page(collector, "limit=4")
    assert 1 <= len(first["records"]) < 4
    assert first["next"] is not None
    assert [each["number"] for each in collector.records()] == [0, 1, 2, 3]
