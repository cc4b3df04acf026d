"""Where the endpoint comes from: the argument, .env, the environment."""

from __future__ import annotations

import os
import sys

import pytest

from log_aggregator_handler import LogAggregatorHandler

VARIABLE = "LOG_AGGREGATOR_API_ENDPOINT"
ARGUMENT = "http://argument.example/api/logs"
DOTENV = "http://dotenv.example/api/logs"
ENVIRONMENT = "http://environment.example/api/logs"


@pytest.fixture(autouse=True)
def somewhere_else(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(VARIABLE, raising=False)


@pytest.fixture
def dotenv_file(tmp_path):
    pytest.importorskip("dotenv")
    (tmp_path / ".env").write_text(f"OTHER=1\n{VARIABLE}={DOTENV}\n")


def test_the_argument_comes_first(dotenv_file, monkeypatch):
    monkeypatch.setenv(VARIABLE, ENVIRONMENT)
    assert LogAggregatorHandler(ARGUMENT).api_endpoint == ARGUMENT


def test_then_the_dotenv_file_in_the_current_directory(dotenv_file, monkeypatch):
    monkeypatch.setenv(VARIABLE, ENVIRONMENT)
    assert LogAggregatorHandler().api_endpoint == DOTENV


def test_then_the_environment(monkeypatch):
    monkeypatch.setenv(VARIABLE, ENVIRONMENT)
    assert LogAggregatorHandler().api_endpoint == ENVIRONMENT


def test_a_dotenv_file_without_the_variable_leaves_the_environment(tmp_path, monkeypatch):
    (tmp_path / ".env").write_text("OTHER=1\n")
    monkeypatch.setenv(VARIABLE, ENVIRONMENT)
    assert LogAggregatorHandler().api_endpoint == ENVIRONMENT


def test_reading_the_dotenv_file_does_not_change_the_environment(dotenv_file):
    before = dict(os.environ)
    LogAggregatorHandler()
    assert dict(os.environ) == before


def test_without_python_dotenv_the_file_is_not_read(dotenv_file, monkeypatch):
    monkeypatch.setitem(sys.modules, "dotenv", None)  # import dotenv now raises ImportError
    monkeypatch.setenv(VARIABLE, ENVIRONMENT)
    assert LogAggregatorHandler().api_endpoint == ENVIRONMENT


def test_a_dotenv_file_of_a_parent_directory_is_not_read(dotenv_file, tmp_path, monkeypatch):
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    with pytest.raises(ValueError, match="no API endpoint"):
        LogAggregatorHandler()


def test_a_dotenv_file_that_cannot_be_decoded_is_left_out_with_a_warning(tmp_path, monkeypatch):
    pytest.importorskip("dotenv")
    (tmp_path / ".env").write_bytes(b"\xff\xfe" + VARIABLE.encode())
    monkeypatch.setenv(VARIABLE, ENVIRONMENT)
    with pytest.warns(UserWarning, match=r"\.env cannot be read"):
        assert LogAggregatorHandler().api_endpoint == ENVIRONMENT


@pytest.mark.parametrize("value", [None, ""])
def test_without_an_endpoint_the_error_names_all_three_sources(monkeypatch, value):
    if value is not None:
        monkeypatch.setenv(VARIABLE, value)
    with pytest.raises(ValueError, match="no API endpoint") as error:
        LogAggregatorHandler()
    for source in ("api_endpoint", ".env", VARIABLE, "environment variable"):
        assert source in str(error.value)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "no url",
        "/api/logs",
        "example.com/api/logs",
        "ftp://example.com/api/logs",
        "file:///etc/passwd",
        "http://",
        "http://host:port/api/logs",
        "http://host:99999/api/logs",
        "http://ho st/api/logs",
        "http://host/api/logs\r\nX-Evil: 1",
        "http://host/\0",
        "http://host/\ud800",
    ],
)
def test_a_malformed_endpoint_is_a_value_error_at_construction(url):
    with pytest.raises(ValueError):  # noqa: PT011  # each says it in its own words
        LogAggregatorHandler(url)


@pytest.mark.parametrize("url", [5, b"http://host/api/logs", ["http://host/"]])
def test_an_endpoint_of_another_type_is_a_type_error(url):
    with pytest.raises(TypeError, match="api_endpoint must be a str"):
        LogAggregatorHandler(url)


def test_an_error_about_the_endpoint_does_not_show_its_password():
    with pytest.raises(ValueError) as error:  # noqa: PT011
        LogAggregatorHandler("ftp://user:canary-token@host/api/logs")
    assert "canary" not in str(error.value)


@pytest.mark.parametrize(
    ("endpoint", "health"),
    [
        ("/api/logs", "/api/health"),
        ("/api/logs/", "/api/health"),
        ("/api/logs?tenant=a", "/api/health"),
        ("/v2/deep/logs", "/v2/deep/health"),
        ("/logs", "/health"),
    ],
)
def test_health_is_asked_beside_the_endpoint(log_api, endpoint, health):
    handler = LogAggregatorHandler(log_api.endpoint.replace("/api/logs", endpoint))
    assert handler.check_connection()
    assert log_api.requests[0].path.partition("?")[0] == health
