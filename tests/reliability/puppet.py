"""An application in a process of its own that does what a test says, step by step.

    with Puppet(endpoint, spool_dir=spool) as app:
        app.log(100)
        assert app.stats()["pending"] == 100
        app.kill()

It has a handler and a logger, made with the first step that needs them. `do` runs any code in it,
where these are `handler()` and `logger`, and returns what the code assigns to `answer`. Limits that
`do` sets hold for the application alone.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from types import TracebackType
from typing import Any

STEP_TIMEOUT_S = 60.0

PROGRAM = """
import json, logging, os, resource, signal, sys, threading, time
from log_aggregator_handler import LogAggregatorHandler

endpoint, options = json.loads(sys.argv[1])
logger = logging.Logger("shop.orders", logging.DEBUG)

def handler():
    if not logger.handlers:
        logger.addHandler(LogAggregatorHandler(endpoint, **options))
    return logger.handlers[0]

for step in sys.stdin:
    answer = None
    exec(json.loads(step))
    sys.stdout.write(json.dumps(answer) + "\\n")
    sys.stdout.flush()
"""


class Puppet:
    def __init__(self, endpoint: str, **options: Any) -> None:
        """`options` are the handler's; it tries again soon, and close() waits long enough."""
        options = {"retry_delay": 0.05, "flush_interval": 0.01, "close_timeout": 30.0, **options}
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (ends with the puppet)
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, json.dumps([endpoint, options], default=os.fspath)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )

    def __enter__(self) -> Puppet:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.kill()
        self._errors.close()

    def do(self, code: str) -> Any:
        """Runs it, and returns its `answer`."""
        self.send(code)
        assert self.process.stdout
        ready, _, _ = select.select([self.process.stdout], [], [], STEP_TIMEOUT_S)
        line = self.process.stdout.readline() if ready else ""
        if not line:
            raise AssertionError(
                f"no answer to {code!r}; exit code {self.process.poll()}: {self.errors()[-2000:]}"
            )
        return json.loads(line)

    def send(self, code: str) -> None:
        """As do(), without waiting for the end: for code that has none."""
        assert self.process.stdin
        self.process.stdin.write(json.dumps(code) + "\n")
        self.process.stdin.flush()

    def log(self, count: int, text: str = "", first: int = 0, level: str = "info") -> None:
        """Messages are `NUMBER TEXT`."""
        self.do(
            f"handler()\nfor i in range({first}, {first + count}):"
            f" logger.{level}('%d %s', i, {text!r})"
        )

    def stats(self) -> dict[str, Any]:
        found: dict[str, Any] = self.do("answer = handler().stats()")
        return found

    def flush(self, timeout: float = 30.0) -> bool:
        return bool(self.do(f"answer = handler().flush({timeout})"))

    def close(self) -> dict[str, Any]:
        """Closes the handler, and returns its last stats()."""
        self.do("handler().close()")
        return self.stats()

    def kill(self) -> None:
        """SIGKILL."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()

    def errors(self) -> str:
        """What it has written to standard error so far."""
        size = os.fstat(self._errors.fileno()).st_size
        return os.pread(self._errors.fileno(), size, 0).decode(errors="replace")


def identity(what: str, stats: dict[str, Any], stored: int | None = None, twice: int = 0) -> None:
    """Prints what became of the records, and expects that each is accounted for."""
    dropped = sum(stats["dropped"].values())
    line = (
        f"{what} accepted={stats['accepted']} delivered={stats['delivered']}"
        f" pending={stats['pending']} dropped={dropped}"
        + (f" stored={stored} twice={twice}" if stored is not None else "")
    )
    print(line)
    assert stats["accepted"] == stats["delivered"] + stats["pending"] + dropped, line
    assert dropped == sum(stats["dropped_by_level"].values()), line
    if stored is not None:
        assert stored == stats["delivered"], line
    assert twice == 0, line
