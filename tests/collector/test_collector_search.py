"""Searching over HTTP: `query=`, one record by its id, the histogram."""

from __future__ import annotations

import urllib.parse

import pytest

RECORDS = [
    {"message": "Connection reset by peer", "level": "WARNING", "logger_name": "app.net"},
    {"message": "user logged in", "level": "INFO", "logger_name": "app.web", "host": "web-1"},
    {
        "message": "payment failed",
        "level": "ERROR",
        "exception": "Traceback ...\nTimeoutError: no answer",
        "extra": {"user_id": 123, "request": {"path": "/pay"}, "tags": ["eu", "card"]},
    },
    {"message": "CONNECTION closed", "level": "DEBUG", "trace_id": "4bf92f35"},
]


@pytest.fixture
def filled(collector):
    assert collector.post(RECORDS).status == 200
    return collector


@pytest.mark.parametrize(
    ("query", "indexes"),
    [
        ("", [0, 1, 2, 3]),
        ("connection", [0, 3]),
        ('"connection reset"', [0]),
        ("connection -reset", [3]),
        ("timeouterror", [2]),
        ("exception:answer", [2]),
        ("app.web", [1]),
        ("level>=WARNING", [0, 2]),
        ("level<info", [3]),
        ("logger:app.*", [0, 1]),
        ("host:web-1", [1]),
        ("user_id=123", [2]),
        ("user_id=12", []),
        ("request.path:/pay tags=card", [2]),
        ("trace_id=4bf92f35", [3]),
        ("trace_id=4bf*", [3]),
    ],
)
def test_a_query_finds(filled, query, indexes):
    assert [each["message"] for each in filled.records(query=query)] == [
        RECORDS[index]["message"] for index in indexes
    ]


def test_a_query_goes_with_the_other_parameters_and_with_pages(filled):
    found = filled.records(query="connection", level="WARNING", limit=1)
    assert [each["id"] for each in found] == [1]
    page = filled.request("GET", "/api/logs?query=connection&limit=1").json()
    assert [each["id"] for each in page["records"]] == [4]
    rest = filled.request("GET", f"/api/logs?query=connection&before={page['next']}").json()
    assert [each["id"] for each in rest["records"]] == [1]
    assert rest["next"] is None


@pytest.mark.parametrize("path", ["logs", "logs/stream", "histogram"])
def test_a_query_that_cannot_be_understood_is_answered_with_the_place(filled, path):
    query = urllib.parse.quote('größe=1 "open')
    answer = filled.request("GET", f"/api/{path}?query={query}")
    assert answer.status == 400
    assert answer.json() == {
        "error": "query, character 9: the quote is not closed",
        "position": 8,
        "length": 1,
    }


@pytest.mark.parametrize("options", [("--no-full-text",), ()])
def test_a_store_finds_the_same_with_and_without_the_index(start_collector, options):
    collector = start_collector(*options)
    collector.post(RECORDS)
    assert len(collector.records(query="connection level>=DEBUG")) == 2
    assert len(collector.records(query="user_id=123 payment")) == 1


def test_a_record_is_found_by_its_id(filled):
    answer = filled.request("GET", "/api/logs/2")
    assert answer.status == 200
    assert answer.json() == filled.records()[1]
    for path in ("5", "0", "-1", "x", "2x", "", "9" * 30, "2/3"):
        assert filled.request("GET", f"/api/logs/{path}").status == 404, path


def test_a_histogram_counts_by_time_and_level(collector):
    times = ["08:00:00.5", "08:00:59.9", "08:01:00", "08:05:00"]
    collector.post(
        [
            {"message": f"m{i}", "level": "ERROR" if i == 1 else "INFO", "timestamp": stamp}
            for i, stamp in enumerate(f"2025-03-27T{time}Z" for time in times)
        ]
    )
    window = "from=2025-03-27T08:00:00Z&to=2025-03-27T08:05:00Z"
    answer = collector.request("GET", f"/api/histogram?{window}&buckets=6").json()
    assert answer == {
        "from": "2025-03-27T08:00:00.000000+00:00",
        "to": "2025-03-27T08:05:00.000000+00:00",
        "step_ms": 60_000,
        "buckets": [
            {"time": "2025-03-27T08:00:00.000000+00:00", "counts": {"ERROR": 1, "INFO": 1}},
            {"time": "2025-03-27T08:01:00.000000+00:00", "counts": {"INFO": 1}},
        ],
    }
    for filtered in ("query=m1", "level=ERROR", "query=level>INFO"):
        answer = collector.request("GET", f"/api/histogram?{window}&buckets=6&{filtered}").json()
        assert [bucket["counts"] for bucket in answer["buckets"]] == [{"ERROR": 1}], filtered


def test_a_histogram_is_of_the_last_hour_without_a_time(collector):
    collector.post([{"message": "now"}, {"message": "old", "timestamp": "2025-03-27T08:00:00Z"}])
    answer = collector.request("GET", "/api/histogram").json()
    assert [sum(bucket["counts"].values()) for bucket in answer["buckets"]] == [1]
    assert answer["step_ms"] == 120_000


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ("buckets=0", "buckets must be a number from 1 to 1000"),
        ("from=2025-03-27T08:00:00Z&to=2025-03-27T08:00:00Z", "from must be before to"),
        ("from=x", "from must be ISO 8601"),
        ("limit=1", "unknown parameter: limit"),
    ],
)
def test_a_histogram_names_the_parameter_that_is_wrong(collector, parameters, reason):
    answer = collector.request("GET", f"/api/histogram?{parameters}")
    assert answer.status == 400
    assert reason in answer.json()["error"]
