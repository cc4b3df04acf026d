"""The usage example of the requirements, word for word but for the endpoint.

usage_example.txt holds it; it is no .py file so that no formatter touches it.
"""

from __future__ import annotations

import os
import pathlib

import pytest

EXAMPLE = pathlib.Path(__file__).with_name("usage_example.txt")
ENDPOINT = "http://your-log-api.com/api/logs"


@pytest.fixture
def run_example(run_python, collector):
    def run(**environment):
        program = EXAMPLE.read_text()
        assert program.count(ENDPOINT) == 1
        return run_python(
            program.replace(ENDPOINT, collector.endpoint),
            env={**os.environ, **environment},
        )

    return run


def test_every_record_at_info_or_above_is_stored_with_its_fields(run_example, collector):
    result = run_example(LOG_API_TOKEN="secret")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    records = collector.records()
    assert [(record["level"], record["message"]) for record in records] == [
        ("INFO", "Successfully connected to the log aggregation API."),
        ("INFO", "Application started successfully."),
        ("WARNING", "Potential issue detected."),
        ("ERROR", "An error occurred during processing."),
        ("CRITICAL", "Critical system failure!"),
        ("INFO", "User logged in."),
    ]
    assert records[5]["extra"] == {"user_id": 123, "ip_address": "192.168.1.100"}
    assert all("extra" not in record for record in records[:5])
    assert all("exception" not in record for record in records)
    for record in records:
        assert record["host"] == "my-custom-hostname"
        assert record["logger_name"] == record["host_process"] == "my_application"
        assert record["funcName"] == "<module>"
        assert record["lineno"] > 0


def test_with_its_variable_unset_it_warns_once_and_works(run_example, collector):
    environment = {name: value for name, value in os.environ.items() if name != "LOG_API_TOKEN"}
    del environment  # run_example passes os.environ on, which has no such variable in tests
    assert "LOG_API_TOKEN" not in os.environ
    result = run_example()
    assert result.returncode == 0
    assert result.stderr.count("UserWarning") == 1
    assert "auth contains None" in result.stderr
    assert len(collector.records()) == 6


def test_without_an_api_it_says_so_and_ends(run_python):
    program = EXAMPLE.read_text().replace(ENDPOINT, "http://127.0.0.1:9/api/logs")
    result = run_python(program, env={**os.environ, "LOG_API_TOKEN": "secret"})
    assert result.returncode == 0
    assert "dropped" in result.stderr
    assert "secret" not in result.stderr
