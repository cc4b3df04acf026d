"""The programs of examples/cpp, each with a real collector."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from reliability.harness import build

TRACE_ID, SPAN_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TIMEOUT_S = 20.0


def example(name: str) -> str:
    return str(build() / "examples" / "cpp" / name)


def run(name: str, *arguments: str) -> str:
    """What it has printed by the time that it has ended well."""
    done = subprocess.run(
        [example(name), *arguments], capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


class Server:
    """An example that listens and runs until it is told to end."""

    def __init__(self, name: str, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [example(name), *arguments], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout
        ready, _, _ = select.select([self.process.stdout], [], [], TIMEOUT_S)
        self.url = self.process.stdout.readline().split()[-1] if ready else ""

    def get(self, path: str, **headers: str) -> tuple[int, str]:
        """Status and content."""
        request = urllib.request.Request(self.url + path, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def end(self) -> int:
        """By SIGTERM; its exit code."""
        self.process.terminate()
        return self.process.wait(TIMEOUT_S)


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    started: list[Server] = []

    def start(name: str, *arguments: str) -> Server:
        started.append(Server(name, *arguments))
        return started[-1]

    yield start
    for server in started:
        server.process.kill()
        server.process.wait()
        assert server.process.stdout
        server.process.stdout.close()


def only(records: list[dict[str, Any]], message: str) -> dict[str, Any]:
    (found,) = [record for record in records if record["message"] == message]
    return found


def test_minimal(collector: Any) -> None:
    run("minimal", collector.endpoint)
    login, error = collector.records()
    assert (login["message"], login["level"]) == ("user logged in", "INFO")
    assert login["extra"] == {"user_id": 123, "roles": ["admin", "staff"]}
    assert (login["filename"], login["funcName"]) == ("minimal.cc", "main")
    assert (error["level"], error["logger_name"]) == ("ERROR", "shop.orders")
    assert "std::runtime_error: card declined" in error["exception"]


def test_minimal_says_so_where_nothing_was_delivered() -> None:
    done = subprocess.run(
        [example("minimal"), "ftp://host/api/logs"], capture_output=True, check=False
    )
    assert done.returncode == 1
    assert b"api_endpoint" in done.stderr


def test_spdlog(collector: Any) -> None:
    printed = run("spdlog", collector.endpoint)
    records = collector.records()
    assert {(record["logger_name"], record["service"]) for record in records} == {("shop", "shop")}
    assert printed.splitlines()[0].endswith("[info] user 123 logged in")
    login, tries, error, begin, *backtrace, end = records
    assert (login["message"], login["level"]) == ("user 123 logged in", "INFO")
    assert (tries["filename"], tries["funcName"]) == ("spdlog.cc", "main")
    assert error["message"] == "no order: card declined"
    assert ("Backtrace Start" in begin["message"], "Backtrace End" in end["message"]) == (True,) * 2
    cart = only(backtrace, "cart has 3 articles")
    assert cart["level"] == "DEBUG"
    assert tries["timestamp"] <= cart["timestamp"] <= error["timestamp"]


def test_server(collector: Any, serve: Callable[..., Server]) -> None:
    server = serve("server", collector.endpoint)
    traceparent = f"00-{TRACE_ID}-{SPAN_ID}-01"
    assert server.get("/cart", Traceparent=traceparent) == (200, "You asked for /cart\n")
    assert server.get("/broken")[0] == 500
    assert server.end() == 0
    records = collector.records()
    served = {r["extra"]["path"]: r for r in records if r["message"] == "request served"}
    cart, broken = served["/cart"], served["/broken"]
    assert (cart["trace_id"], cart["span_id"]) == (TRACE_ID, SPAN_ID)
    assert cart["extra"]["status"] == 200
    assert re.fullmatch(r"worker-\d", cart["threadName"])
    assert broken["extra"]["status"] == 500
    assert "no such table: articles" in only(records, "request failed")["exception"]
    assert only(records, "server ends")["extra"] == {"signal": signal.SIGTERM}


def test_server_that_is_asked_by_many_at_once_logs_each_request_once(
    collector: Any, serve: Callable[..., Server]
) -> None:
    server = serve("server", collector.endpoint)
    paths = [f"/{number}" for number in range(200)]
    with ThreadPoolExecutor(8) as clients:
        assert {status for status, _ in clients.map(server.get, paths)} == {200}
    assert server.end() == 0
    served = [r["extra"]["path"] for r in collector.records() if r["message"] == "request served"]
    assert sorted(served) == sorted(paths)


def test_fork_server(collector: Any, serve: Callable[..., Server], tmp_path: Path) -> None:
    server = serve("fork_server", collector.endpoint, str(tmp_path / "spool"))
    served = [int(server.get(f"/{number}")[1].split()[-1]) for number in range(20)]
    os.kill(served[0], signal.SIGKILL)
    collector.wait_for_records(1, query='"a worker has died"')
    served += [int(server.get(f"/{number}")[1].split()[-1]) for number in range(20, 40)]
    assert server.end() == 0
    # What the killed child had logged is delivered by another process that uses the spool.
    records = sorted(collector.wait_for_records(41), key=lambda record: record["timestamp"])
    assert only(records, "a worker has died")["extra"] == {"pid": served[0], "signal": 9}
    requests = [r for r in records if r["message"] == "request served"]
    assert [r["extra"]["path"] for r in requests] == [f"/{number}" for number in range(40)]
    assert [r["process"] for r in requests] == served
