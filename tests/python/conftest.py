"""Fixtures of the Python tests: handlers that talk to a loopback API, and loggers for them."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from log_aggregator_handler import LogAggregatorHandler, accelerate, decelerate
from log_aggregator_handler.testing import LogApi, log_api
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


@dataclass
class Outcome:
    """What came of some log calls."""

    records: list[dict[str, Any]]  # as they arrived, without their timestamps
    result: Any  # of the function that logged
    error: tuple[type, str] | None  # what it raised
    stderr: str  # without the frames of logging's own files
    paths: dict[str, int]  # those taken


class BothWays:
    """Runs a function twice, without and with accelerate(), and compares what comes of it.

    The function is given a new logger with a handler of ours each time, and may return something to
    be compared, too. `arrange(logger, monkeypatch)` comes before accelerate(). `path`: the only one
    that the records take when accelerated. What came of it with accelerate() is returned.
    """

    def __init__(self, api: LogApi, make_handler: Handlers, capsys: Any) -> None:
        self._api = api
        self._make_handler = make_handler
        self._capsys = capsys

    def __call__(
        self,
        log: Callable[[logging.Logger], object],
        *,
        arrange: Callable[[logging.Logger, pytest.MonkeyPatch], object] | None = None,
        kind: type[logging.Logger] = logging.Logger,
        path: str | None = None,
    ) -> Outcome:
        plain, fast = (self._run(log, arrange, kind, turn) for turn in (decelerate, accelerate))
        assert fast.error == plain.error
        assert fast.records == plain.records
        assert fast.result == plain.result
        assert fast.stderr == plain.stderr
        assert set(plain.paths) <= {"fallback"}
        if path is not None:
            assert set(fast.paths) == {path}
        return fast

    def _run(self, log: Any, arrange: Any, kind: Any, turn: Callable[[], None]) -> Outcome:
        self._capsys.readouterr()
        logger = kind("shop.orders", logging.DEBUG)
        handler = self._make_handler()
        logger.addHandler(handler)
        result = error = None
        with pytest.MonkeyPatch.context() as patch:
            if arrange:
                arrange(logger, patch)
            turn()
            try:
                result = log(logger)
            except BaseException as raised:  # KeyboardInterrupt, too
                error = (type(raised), str(raised))
            finally:
                decelerate()
        stderr = self._capsys.readouterr().err
        assert handler.flush(), handler.stats()
        records = self._api.records
        self._api.clear()
        for record in records:
            del record["timestamp"]
        paths = {name: count for name, count in handler.stats()["paths"].items() if count}
        return Outcome(records, result, error, without_frames_of_logging(stderr), paths)


def without_frames_of_logging(stderr: str) -> str:
    """What handleError() printed, but for the frames that only one of two ways has.

    In its traceback these are those of logging, and in their place the frame of the log call, with
    which the part below, "Call stack:", ends in either case.
    """
    frame = r'  File "[^\n]*\n(?:    [^\n]*\n)*'
    own = re.escape(logging.__file__.removesuffix("__init__.py"))
    stderr = re.sub(rf'  File "(?:{own}|[^"\n]*/log_aggregator_handler/)[^\n]*\n(?:    [^\n]*\n)*', "", stderr)

    def shorten(match: re.Match[str]) -> str:
        traceback, error, stack = match.groups()
        calls = set(re.findall(r'  File "[^\n]*\n', stack))
        frames = [text for text in re.findall(frame, traceback) if text.split("\n")[0] + "\n" not in calls]
        return "Traceback\n" + "".join(frames) + error + "Call stack:\n" + stack

    return re.sub(
        rf"Traceback \(most recent call last\):\n((?:{frame})*)((?:[^\n]*\n)*?)Call stack:\n((?:{frame})*)",
        shorten,
        stderr,
    )


@pytest.fixture
def both_ways(log_api: LogApi, make_handler: Handlers, capsys: Any) -> BothWays:
    return BothWays(log_api, make_handler, capsys)


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
