"""Fixtures shared by all Python tests: the real collector, run as its own process.

`collector` is one that runs on a free port and an empty store. `start_collector` starts further
ones, or ones with other options::

    def test_a_record_is_stored(collector):
        collector.post({"message": "hello"})
        assert collector.records()[0]["message"] == "hello"
"""

from __future__ import annotations

import http.client
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from package.project import ROOT, install, run, skip_without
from reliability.harness import build

# Whoever starts the tests in the background of a shell has SIGINT ignored, which the programs that
# tests interrupt would inherit.
signal.signal(signal.SIGINT, signal.default_int_handler)

START_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 20.0


def find_command() -> str:
    """The path of `log-aggregator`: $LOG_AGGREGATOR_COMMAND, beside the interpreter, or on PATH."""
    beside = Path(sys.executable).parent / "log-aggregator"
    chosen = os.environ.get("LOG_AGGREGATOR_COMMAND")
    if chosen:
        return chosen
    if beside.exists():
        return str(beside)
    found = shutil.which("log-aggregator")
    if not found:
        pytest.fail("log-aggregator is not built: run ./run setup or set LOG_AGGREGATOR_COMMAND")
    return found


@dataclass(frozen=True)
class Answer:
    """What a request was answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Collector:
    """A collector process; `stop`, `kill` and `start` keep its port and its store."""

    def __init__(self, command: str, directory: Path, *options: str) -> None:
        self.store = directory / "logs.sqlite"
        self.stderr_file = directory / "collector.stderr"
        self.host = "127.0.0.1"
        self.port = 0
        self.process: subprocess.Popen[str] | None = None
        self._command = command
        self._options = options

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def endpoint(self) -> str:
        return f"{self.url}/api/logs"

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def start(self) -> None:
        """Starts the process and waits until it listens."""
        with self.stderr_file.open("a") as stderr:
            self.process = subprocess.Popen(
                [
                    self._command,
                    "serve",
                    "--listen",
                    f"{self.host}:{self.port}",
                    "--store",
                    f"sqlite:{self.store}",
                    *self._options,
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
            )
        assert self.process.stdout is not None
        readable, _, _ = select.select([self.process.stdout], [], [], START_TIMEOUT_S)
        line = self.process.stdout.readline() if readable else ""
        prefix = "listening on "
        if not line.startswith(prefix):
            self.kill()
            pytest.fail(f"the collector did not start: {line!r} {self.stderr_file.read_text()}")
        address = urllib.parse.urlsplit(line[len(prefix) :].strip())
        assert address.port is not None
        self.port = address.port

    def stop(self) -> int:
        """Ends the process as a service manager does (SIGTERM); returns its exit code."""
        return self._end(signal.SIGTERM)

    def kill(self) -> int:
        """Ends the process with SIGKILL, in the middle of whatever it does."""
        return self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Starts the process again on the same port and store, stopping it first if it runs."""
        self.stop()
        self.start()

    def _end(self, signal_number: int) -> int:
        if self.process is None:
            return 0
        self.process.send_signal(signal_number)
        try:
            code = self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            pytest.fail("the collector did not stop")
        finally:
            if self.process.stdout:
                self.process.stdout.close()
            self.process = None
        return code

    def request(
        self,
        method: str,
        target: str,
        body: bytes | str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = 20.0,
    ) -> Answer:
        """One request on a connection of its own."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=timeout)
        try:
            connection.request(method, target, body=body, headers=dict(headers or {}))
            response = connection.getresponse()
            return Answer(response.status, dict(response.getheaders()), response.read())
        finally:
            connection.close()

    def post(self, records: Any, headers: Mapping[str, str] | None = None) -> Answer:
        """Posts one record (a dict) or several (a list), as JSON."""
        return self.request(
            "POST",
            "/api/logs",
            json.dumps(records),
            {"Content-Type": "application/json", **(headers or {})},
        )

    def records(
        self, *, headers: Mapping[str, str] | None = None, **query: str | int
    ) -> list[dict[str, Any]]:
        """All stored records that match `query` (of GET /api/logs), in order of arrival.

        Follows the cursor through all pages; with `limit` it returns one page, the newest.
        """
        found: list[dict[str, Any]] = []
        parameters: dict[str, str | int] = {"limit": 10_000, **query}
        while True:
            # `from` is a keyword of Python: from_ stands for it.
            encoded = urllib.parse.urlencode({k.rstrip("_"): v for k, v in parameters.items()})
            answer = self.request("GET", f"/api/logs?{encoded}", headers=headers)
            assert answer.status == 200, answer
            page = answer.json()
            found += page["records"]
            if page["next"] is None or "limit" in query:
                return found[::-1]
            parameters["before"] = page["next"]

    def wait_for_records(
        self,
        count: int,
        timeout: float = 20.0,
        *,
        headers: Mapping[str, str] | None = None,
        **query: str | int,
    ) -> list[dict[str, Any]]:
        """`records(**query)` as soon as there are at least `count`; fails after `timeout` s."""
        deadline = time.monotonic() + timeout
        while True:
            found = self.records(headers=headers, **query)
            if len(found) >= count:
                return found
            if time.monotonic() > deadline:
                pytest.fail(f"{len(found)} of {count} records arrived within {timeout} s")
            time.sleep(0.02)


@pytest.fixture(scope="session")
def command() -> str:
    """The path of the program `log-aggregator`."""
    return find_command()


@pytest.fixture(scope="session")
def extensions(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The folders of `native` and `pricing`, extension modules that log from C++.

    The build's, or where that was for another Python made for this one as a user would, with the
    library as the build installs it.
    """
    modules = {
        "native": Path("tests", "programs", "native"),
        "pricing": Path("examples", "python_extension"),
    }
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    if all((build() / folder / f"{name}{suffix}").exists() for name, folder in modules.items()):
        return [str(build() / folder) for folder in modules.values()]
    skip_without("cmake", "ninja", "c++")
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        pytest.skip("this Python comes without its headers")
    if not (build() / "src" / "static" / "liblog_aggregator.a").exists():
        pytest.skip(f"{build()} has no library to build extension modules with: run ./run setup")
    made = tmp_path_factory.mktemp("extensions")
    install(build(), made / "prefix")
    options = (
        "-DCMAKE_BUILD_TYPE=Release",
        f"-DCMAKE_PREFIX_PATH={made / 'prefix'}",
        f"-DPython_EXECUTABLE={sys.executable}",
    )
    for name, folder in modules.items():
        run("cmake", "-S", ROOT / folder, "-B", made / name, "-G", "Ninja", *options)
        run("cmake", "--build", made / name)
    return [str(made / name) for name in modules]


@pytest.fixture
def start_collector(
    command: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., Collector]]:
    """A function that starts a collector with further options of `serve`; all end with the test."""
    started: list[Collector] = []

    def start(*options: str) -> Collector:
        collector = Collector(command, tmp_path_factory.mktemp("collector"), *options)
        started.append(collector)
        collector.start()
        return collector

    yield start
    for collector in started:
        collector.kill()


@pytest.fixture
def collector(start_collector: Callable[..., Collector]) -> Collector:
    """A running collector on a free port of 127.0.0.1 with an empty store."""
    return start_collector()
