"""Fixtures of the Python tests: handlers that talk to a loopback API, and loggers for them."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from log_aggregator_handler import LogAggregatorHandler, accelerate, decelerate
from log_aggregator_handler.testing import LogApi, log_api
from python.both_ways import BothWays
from reliability.puppet import Puppet

__all__ = ["log_api"]

Handlers = Callable[..., LogAggregatorHandler]


@pytest.fixture
def logger() -> logging.Logger:
    """A logger outside the hierarchy, so that no test sees another's handlers."""
    return logging.Logger("shop.orders", logging.DEBUG)


@pytest.fixture
def make_handler(log_api: LogApi) -> Iterator[Handlers]:
    """Makes handlers for `log_api` (or another endpoint) that retry at once and fill no batches."""
    made: list[LogAggregatorHandler] = []

    def make(
        endpoint: str | None = None,
        kind: type[LogAggregatorHandler] = LogAggregatorHandler,
        **options: Any,
    ) -> LogAggregatorHandler:
        options = {"retry_delay": 0.01, "flush_interval": 0.01, "close_timeout": 10.0, **options}
        handler = kind(endpoint or log_api.endpoint, **options)
        made.append(handler)
        return handler

    yield make
    log_api.recover()
    for handler in made:
        handler.close()


@pytest.fixture
def shipped(
    log_api: LogApi, make_handler: Handlers, logger: logging.Logger
) -> Callable[..., list[dict[str, Any]]]:
    """What arrives of the records that a function logs: `[record] = shipped(lambda log: ...)`."""

    def ship(
        log: Callable[[logging.Logger], object],
        handler: LogAggregatorHandler | None = None,
        **options: Any,
    ) -> list[dict[str, Any]]:
        handler = handler or make_handler(**options)
        before = len(log_api.records)
        logger.addHandler(handler)
        try:
            log(logger)
        finally:
            logger.removeHandler(handler)
        assert handler.flush(), handler.stats()
        return log_api.records[before:]

    return ship


@pytest.fixture
def accelerated() -> Iterator[None]:
    """accelerate() for one test."""
    accelerate()
    yield
    decelerate()


@pytest.fixture
def both_ways(log_api: LogApi, make_handler: Handlers) -> BothWays:
    return BothWays(log_api, make_handler)


@pytest.fixture
def run_python() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a program in a Python of its own, which ends as programs end."""

    def run(program: str, *arguments: str, timeout: float = 30.0, **options: Any) -> Any:
        return subprocess.run(
            [sys.executable, "-c", program, *arguments],
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            **options,
        )

    return run


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    """Where a spool may be made."""
    return tmp_path / "spool"


@pytest.fixture
def puppet() -> Iterator[Callable[..., Puppet]]:
    """Makes applications; all end with the test."""
    made: list[Puppet] = []

    def make(endpoint: str, **options: Any) -> Puppet:
        made.append(Puppet(endpoint, **options))
        return made[-1]

    yield make
    for app in made:
        app.kill()
