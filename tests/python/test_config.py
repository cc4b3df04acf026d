"""Configuration by logging.config: dictConfig, dictConfig from YAML, fileConfig."""

from __future__ import annotations

import base64
import logging
import logging.config

import pytest

from log_aggregator_handler import LogAggregatorHandler

KIND = "log_aggregator_handler.LogAggregatorHandler"


@pytest.fixture(autouse=True)
def root_as_before():
    """The root logger's handlers are closed and what it had is put back."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers = []
    yield
    for handler in root.handlers:
        handler.close()
    root.handlers, root.level = handlers, level


def ship():
    """Logs through the root logger and returns the handler, flushed."""
    logging.getLogger("configured").info("hello", extra={"x": 1})
    # pytest has handlers of its own there.
    [handler] = [h for h in logging.getLogger().handlers if isinstance(h, LogAggregatorHandler)]
    assert handler.flush()
    return handler


def dict_config(**handler):
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "handlers": {"api": {"class": KIND, **handler}},
        "root": {"level": "INFO", "handlers": ["api"]},
    }


def test_dict_config_sets_every_option(log_api):
    logging.config.dictConfig(
        dict_config(
            api_endpoint=log_api.endpoint,
            host="h1",
            auth=("user", "pass"),
            timeout=2,
            retry_attempts=1,
            retry_delay=0.01,
            verify_ssl=True,
            level_map={"INFO": "information"},
            batch_size=10,
            batch_bytes=10_000,
            flush_interval=0.01,
            queue_bytes=1 << 20,
            overflow="drop_oldest",
            block_timeout=0.5,
            background=True,
            compression="gzip",
            fields={"service": "shop"},
            fallback_logger="fallback",
            close_timeout=2.0,
            ca_file=None,
            client_cert=None,
            client_key=None,
            proxy=None,
            max_record_bytes=100_000,
            auth_ttl=60,
            level="INFO",
            formatter=None,
        )
        | {"formatters": {}}
    )
    ship()
    [record] = log_api.records
    assert record["host"] == "h1"
    assert record["level"] == "information"
    assert record["service"] == "shop"
    assert record["extra"] == {"x": 1}
    expected = "Basic " + base64.b64encode(b"user:pass").decode()
    assert log_api.posts[0].headers["Authorization"] == expected
    assert log_api.posts[0].headers["Content-Encoding"] == "gzip"


def test_dict_config_sets_formatter_level_and_filters(log_api):
    class NoSecrets(logging.Filter):
        def filter(self, record):
            return "secret" not in record.getMessage()

    config = dict_config(
        api_endpoint=log_api.endpoint,
        formatter="short",
        level="WARNING",
        filters=["no_secrets"],
        flush_interval=0.01,
    )
    config["formatters"] = {"short": {"format": "%(levelname)s: %(message)s"}}
    config["filters"] = {"no_secrets": {"()": NoSecrets}}
    logging.config.dictConfig(config)
    logger = logging.getLogger("configured")
    logger.info("below")
    logger.error("secret")
    logger.error("seen")
    log_api.wait_for(1)
    assert [record["message"] for record in log_api.records] == ["ERROR: seen"]


def test_a_factory_and_external_objects_work(log_api):
    config = dict_config()
    config["handlers"]["api"] = {
        "()": KIND,
        "api_endpoint": log_api.endpoint,
        "fallback_logger": "ext://logging.root",
    }
    logging.config.dictConfig(config)
    ship()
    assert len(log_api.records) == 1


def test_a_wrong_option_is_reported_by_dict_config(log_api):
    with pytest.raises(ValueError, match="api") as error:
        logging.config.dictConfig(dict_config(api_endpoint=log_api.endpoint, timeout=-1))
    assert "timeout" in str(error.value.__cause__)


def test_configuring_again_closes_the_old_handler_and_delivers_its_records(log_api):
    logging.config.dictConfig(dict_config(api_endpoint=log_api.endpoint, flush_interval=60))
    logging.getLogger("configured").info("from the first")
    logging.config.dictConfig(dict_config(api_endpoint=log_api.endpoint, flush_interval=60))
    log_api.wait_for(1)
    ship()
    assert [record["message"] for record in log_api.records] == ["from the first", "hello"]


def test_yaml_says_it_all_with_lists_and_plain_mappings(log_api):
    yaml = pytest.importorskip("yaml")
    logging.config.dictConfig(
        yaml.safe_load(f"""
        version: 1
        disable_existing_loggers: false
        handlers:
          api:
            class: {KIND}
            api_endpoint: {log_api.endpoint}
            auth: [user, pass]
            timeout: 3
            retry_attempts: 2
            retry_delay: 0.5
            verify_ssl: yes
            level_map: {{INFO: information, 30: warn}}
            batch_size: 50
            flush_interval: 0.01
            overflow: block
            background: no
            compression: null
            fields: {{service: shop, tags: [a, b]}}
            fallback_logger: fallback.api
        root:
          level: INFO
          handlers: [api]
        """)
    )
    ship()
    [record] = log_api.records
    assert record["level"] == "information"
    assert record["service"] == "shop"
    assert record["tags"] == ["a", "b"]
    assert log_api.posts[0].headers["Authorization"].startswith("Basic ")
    assert log_api.posts[0].headers["Content-Encoding"] is None
    logging.getLogger("configured").warning("mapped by number")
    assert log_api.records[-1]["level"] == "warn"


def test_headers_from_yaml_are_a_mapping(log_api):
    yaml = pytest.importorskip("yaml")
    logging.config.dictConfig(
        yaml.safe_load(f"""
        version: 1
        disable_existing_loggers: false
        handlers:
          api:
            class: {KIND}
            api_endpoint: {log_api.endpoint}
            auth:
              Authorization: Bearer abc
        root: {{level: INFO, handlers: [api]}}
        """)
    )
    ship()
    assert log_api.posts[0].headers["Authorization"] == "Bearer abc"


FILE = """
[loggers]
keys=root

[handlers]
keys=api

[formatters]
keys=short

[formatter_short]
format=%(levelname)s %(message)s

[logger_root]
level=INFO
handlers=api

[handler_api]
class=log_aggregator_handler.LogAggregatorHandler
level=INFO
formatter=short
"""


@pytest.fixture
def file_config(tmp_path):
    def configure(arguments):
        path = tmp_path / "logging.ini"
        path.write_text(FILE + arguments)
        logging.config.fileConfig(path, disable_existing_loggers=False)

    return configure


def test_file_config_passes_positional_arguments(file_config, log_api):
    file_config(f"args=('{log_api.endpoint}', 'h1', ('user', 'pass'), 2.0, 1, 0.01, True)")
    ship()
    [record] = log_api.records
    assert (record["host"], record["message"]) == ("h1", "INFO hello")
    assert log_api.posts[0].headers["Authorization"].startswith("Basic ")


def test_file_config_passes_keywords(file_config, log_api):
    file_config(
        f"kwargs={{'api_endpoint': '{log_api.endpoint}', 'auth': ['user', 'pass'],"
        " 'level_map': {'INFO': 'i'}, 'batch_size': 5, 'compression': None,"
        " 'fields': {'service': 'shop'}, 'fallback_logger': 'fallback', 'flush_interval': 0.01}"
    )
    ship()
    [record] = log_api.records
    assert (record["level"], record["service"]) == ("i", "shop")


def test_basic_config_takes_the_handler(log_api, monkeypatch):
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    logging.basicConfig(level="INFO", handlers=[LogAggregatorHandler(log_api.endpoint)])
    ship()
    assert log_api.records[0]["message"] == "hello"
