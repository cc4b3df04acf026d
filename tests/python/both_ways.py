"""Log calls without and with accelerate(), and what comes of them, compared."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from log_aggregator_handler import LogAggregatorHandler, accelerate, decelerate
from log_aggregator_handler.testing import LogApi


class Collector(logging.Handler):
    """Another handler beside ours, and the records that it sees."""

    def __init__(self, level: int = logging.NOTSET) -> None:
        super().__init__(level)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    def seen(self) -> list[dict[str, Any]]:
        return [comparable(record) for record in self.records]


def comparable(record: logging.LogRecord) -> dict[str, Any]:
    """What of a record must be the same in another run."""
    times = ("created", "msecs", "relativeCreated")
    parts = {name: value for name, value in vars(record).items() if name not in times}
    parts["msg"], parts["args"] = safe_repr(record.msg), safe_repr(record.args)
    if isinstance(record.exc_info, tuple):  # tracebacks have no repr() that says anything
        parts["exc_info"] = safe_repr(record.exc_info[:2])
    return parts


def safe_repr(value: object) -> str:
    try:
        return repr(value)
    except Exception as error:
        return f"unprintable: {error!r}"


def with_collector(logger: logging.Logger, patch: pytest.MonkeyPatch) -> None:
    """Something to arrange."""
    logger.addHandler(Collector())


def others_saw(logger: logging.Logger) -> list[dict[str, Any]]:
    return [seen for h in logger.handlers if isinstance(h, Collector) for seen in h.seen()]


# Releases of 3.13 from 3.13.4 on, and no later version: what is logged while a logger hands out a
# record in the same thread is ignored.
IGNORES_REENTRY = hasattr(logging.Logger, "_is_disabled")


@dataclass
class Outcome:
    """What came of some log calls."""

    records: list[dict[str, Any]] = field(default_factory=list)  # without their timestamps
    result: Any = None  # of the function that logged
    error: tuple[type, str] | None = None  # what it raised
    stderr: str = ""  # without the frames of logging's own files
    paths: dict[str, int] = field(default_factory=dict)  # those taken


class BothWays:
    """Runs a function twice, without and with accelerate(), and compares what comes of it.

    The function is given a new logger with a handler of ours each time, and may return something to
    be compared, too. `arrange(logger, monkeypatch)` comes before accelerate(). `path`: the only one
    that the records take when accelerated. What came of it with accelerate() is returned.
    """

    def __init__(self, api: LogApi, make_handler: Callable[[], LogAggregatorHandler]) -> None:
        self._api = api
        self._make_handler = make_handler

    def __call__(
        self,
        log: Callable[[logging.Logger], object],
        *,
        arrange: Callable[[logging.Logger, pytest.MonkeyPatch], object] | None = None,
        kind: type[logging.Logger] = logging.Logger,
        path: str | None = None,
    ) -> Outcome:
        plain, fast = (self._run(log, arrange, kind, turn) for turn in (decelerate, accelerate))
        assert_same(fast, plain)
        assert set(plain.paths) <= {"fallback"}
        if path is not None:
            assert set(fast.paths) == {path}
        return fast

    def _run(self, log: Any, arrange: Any, kind: Any, turn: Callable[[], None]) -> Outcome:
        logger = kind("shop.orders", logging.DEBUG)
        handler = self._make_handler()
        logger.addHandler(handler)
        with pytest.MonkeyPatch.context() as patch:
            if arrange:
                arrange(logger, patch)
            turn()
            outcome = observe(lambda: log(logger))
            decelerate()
        assert handler.flush(), handler.stats()
        outcome.records = self._api.records
        self._api.clear()
        for record in outcome.records:
            del record["timestamp"]
        outcome.paths = {name: n for name, n in handler.stats()["paths"].items() if n}
        return outcome


def assert_same(fast: Outcome, plain: Outcome) -> None:
    assert fast.error == plain.error
    assert fast.records == plain.records, f"{fast.records}\n---- but plain:\n{plain.records}"
    assert json.dumps(fast.records) == json.dumps(plain.records)  # the order of the fields
    assert fast.result == plain.result
    assert fast.stderr == plain.stderr, f"{fast.stderr}\n---- but plain:\n{plain.stderr}"


def observe(log: Callable[[], object]) -> Outcome:
    """Calls it: the outcome as far as it is seen at once."""
    outcome = Outcome()
    with contextlib.redirect_stderr(io.StringIO()) as stderr:
        try:
            outcome.result = log()
        except BaseException as raised:  # KeyboardInterrupt, too
            outcome.error = (type(raised), str(raised))
    outcome.stderr = without_frames_of_logging(stderr.getvalue())
    return outcome


_FRAME = r'  File "[^\n]*\n(?:    [^\n]*\n)*'
_OWN_FRAME = re.compile(
    rf'  File "(?:{re.escape(logging.__file__.removesuffix("__init__.py"))}'
    r'|[^"\n]*/log_aggregator_handler/)[^\n]*\n(?:    [^\n]*\n)*'
)
_REPORT = re.compile(rf"(--- Logging error ---\n.*?)(Call stack:\n(?:{_FRAME})*)", re.DOTALL)


def without_frames_of_logging(stderr: str) -> str:
    """What handleError() printed, but for the frames that only one of two ways has.

    In its traceback these are those of logging, and in their place the frame of the log call, with
    which the part below, "Call stack:", ends in either case.
    """

    def shorten(match: re.Match[str]) -> str:
        error, stack = match.groups()
        calls = set(re.findall(r'  File "[^\n]*\n', stack))
        return (
            re.sub(_FRAME, lambda f: "" if first_line(f.group()) in calls else f.group(), error)
            + stack
        )

    return _REPORT.sub(shorten, _OWN_FRAME.sub("", stderr))


def first_line(text: str) -> str:
    return text[: text.index("\n") + 1]
