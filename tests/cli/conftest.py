"""Fixtures of the command's tests: servers that answer what a test wants."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest


class Request(NamedTuple):
    method: str
    path: str
    body: bytes


Serve = Callable[[Callable[[Request], tuple[Any, ...]]], str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """A function: starts a server that answers as `answer` says, returns its endpoint.

    `answer` is given each request and returns (status, body, headers); the end may be left out.
    """
    servers = []

    def start(answer: Callable[[Request], tuple[Any, ...]]) -> str:
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                self.reply(*answer(Request(self.command, self.path, body)))

            do_POST = do_GET

            def reply(
                self, status: int, body: bytes = b"", headers: dict[str, str] | None = None
            ) -> None:
                self.send_response(status)
                for name, value in {"Content-Length": len(body), **(headers or {})}.items():
                    self.send_header(name, str(value))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments: object) -> None:
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}/api/logs"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def serve_answer(serve: Serve) -> Callable[..., str]:
    """A function: starts a server that gives one answer to everything, returns its endpoint."""
    return lambda *answer: serve(lambda _: answer)
