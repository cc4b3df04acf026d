"""The loopback API for users' own tests, with and without pytest."""

from __future__ import annotations

import gzip
import json
import urllib.error
import urllib.request

import pytest

from log_aggregator_handler.testing import LogApi


def post(api, body, **headers):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(api.endpoint, data, headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_an_object_an_array_and_ndjson_are_records(log_api):
    assert post(log_api, {"n": 1})[0] == 200
    assert post(log_api, [{"n": 2}, {"n": 3}]) == (200, b'{"stored": 2, "duplicates": 0}')
    assert post(log_api, b'{"n": 4}\n{"n": 5}\n')[0] == 200
    assert log_api.records == [{"n": n} for n in range(1, 6)]


def test_gzip_is_decoded_and_other_encodings_refused(log_api):
    assert post(log_api, gzip.compress(b'{"n": 1}'), **{"Content-Encoding": "gzip"})[0] == 200
    assert log_api.posts[0].body == b'{"n": 1}'
    assert log_api.posts[0].wire_bytes != len(log_api.posts[0].body)
    assert post(log_api, b"x", **{"Content-Encoding": "br"})[0] == 415


def test_requests_keep_method_path_headers_and_status(log_api):
    post(log_api, {"n": 1}, **{"X-Mine": "yes"})
    [request] = log_api.requests
    assert (request.method, request.path, request.status) == ("POST", "/api/logs", 200)
    assert request.headers["x-mine"] == "yes"
    assert request.records == request.stored == [{"n": 1}]


def test_respond_answers_so_a_number_of_times(log_api):
    log_api.respond(503, body={"error": "busy"}, headers={"Retry-After": "7"}, times=2)
    log_api.respond(400, body="bad", times=1)
    answers = [post(log_api, {"n": n}) for n in range(4)]
    assert [status for status, _ in answers] == [503, 503, 400, 200]
    assert json.loads(answers[0][1]) == {"error": "busy"}
    assert answers[2][1] == b"bad"
    assert log_api.records == [{"n": 3}]


def test_refuse_names_bad_records_and_accepts_the_others(log_api):
    log_api.refuse(lambda record: record["n"] == 1)
    status, body = post(log_api, [{"n": 0}, {"n": 1}, {"n": 2}])
    assert status == 400
    assert [error["index"] for error in json.loads(body)["errors"]] == [1]
    assert log_api.records == [{"n": 0}, {"n": 2}]


@pytest.mark.parametrize("fault", ["reset", "send_garbage", "stop"])
def test_faults_break_the_exchange_until_recover(log_api, fault):
    getattr(log_api, fault)()
    with pytest.raises(Exception):  # noqa: B017, PT011  # each client calls it something else
        post(log_api, {"n": 1})
    if fault == "stop":
        log_api.start()
    log_api.recover()
    assert post(log_api, {"n": 2})[0] == 200
    assert log_api.records == [{"n": 2}]


def test_hang_ends_with_recover(log_api):
    log_api.hang()
    with pytest.raises(OSError, match="timed out"):
        urllib.request.urlopen(log_api.endpoint, timeout=0.1)
    log_api.recover()
    assert post(log_api, {"n": 2})[0] == 200


def test_health_can_be_changed(log_api):
    url = log_api.endpoint.replace("logs", "health")
    assert json.loads(urllib.request.urlopen(url).read())["batch"]["max_records"] == 1000
    log_api.say_nothing()
    assert json.loads(urllib.request.urlopen(url).read()) == {"status": "ok"}
    log_api.health_status = 503
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(url)


def test_wait_for_says_what_it_waited_for(log_api):
    post(log_api, {"n": 1})
    assert log_api.wait_for(1) == [{"n": 1}]
    with pytest.raises(AssertionError, match="2 records; 1 records are stored"):
        log_api.wait_for(2, timeout=0.05)


def test_clear_forgets(log_api):
    post(log_api, {"n": 1})
    log_api.clear()
    assert log_api.requests == []


def test_it_works_without_pytest(run_python):
    result = run_python(
        """
import sys
sys.modules["pytest"] = None
import logging
from log_aggregator_handler import LogAggregatorHandler
from log_aggregator_handler.testing import LogApi
with LogApi() as api:
    logging.basicConfig(level="INFO", handlers=[LogAggregatorHandler(api.endpoint)])
    logging.info("hello")
    print(api.wait_for(1)[0]["message"])
"""
    )
    assert result.stdout == "hello\n", result.stderr


def test_two_apis_run_side_by_side():
    with LogApi() as first, LogApi() as second:
        assert first.endpoint != second.endpoint
        post(first, {"n": 1})
        assert second.records == []
