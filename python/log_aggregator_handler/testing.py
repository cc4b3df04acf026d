"""A log aggregation API on the loopback interface, for tests of code that logs.

With pytest, which finds it by itself, ask for the fixture::

    def test_that_orders_are_logged(log_api):
        handler = LogAggregatorHandler(log_api.endpoint)
        logger.addHandler(handler)
        place_order()
        [record] = log_api.wait_for(1)
        assert record["message"] == "order placed"

Without pytest, use the class::

    with LogApi() as api:
        handler = LogAggregatorHandler(api.endpoint)

It can be told to fail, too: see `respond`, `refuse`, `hang`, `reset`, `send_garbage`,
`say_nothing` and `stop`.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

__all__ = ["LogApi", "Request"]

Record = dict[str, Any]


@dataclass(frozen=True)
class Request:
    """A request as it arrived, and what it was answered."""

    method: str
    path: str
    headers: Message
    """Of the request; names are looked up in any case."""
    body: bytes
    """Without its Content-Encoding."""
    wire_bytes: int
    """Size of the body as it came over the wire."""
    records: list[Record]
    """The records in the body; none where it is not JSON."""
    stored: list[Record]
    """Those that were accepted: all of them, if the answer is 2xx."""
    status: int | None
    """None where there was no answer."""


@dataclass
class _Answer:
    status: int = 200
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    times: int | None = None  # None: until told otherwise


class LogApi:
    """The server. Every method may be called from any thread."""

    def __init__(self, *, ssl_context: ssl.SSLContext | None = None) -> None:
        """With `ssl_context` it speaks https."""
        self.health: dict[str, Any] = {
            "status": "ok",
            "version": "testing",
            "batch": {"max_records": 1000, "max_bytes": 1 << 20},
            "formats": ["array", "ndjson"],
            "encodings": ["zstd", "gzip"] if _zstd_decompress else ["gzip"],
        }
        """The answer of GET /api/health."""
        self.health_status = 200
        self._ssl_context = ssl_context
        self._changed = threading.Condition()
        self._requests: list[Request] = []
        self._answers: list[_Answer] = []
        self._refusal: tuple[Callable[[Record], bool], bool] | None = None
        self._fault: str | None = None
        self._port = 0
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    # ---- running

    def start(self) -> None:
        """Listens; after a stop() on the same port as before."""
        self._server = _Server(("127.0.0.1", self._port), self, self._ssl_context)
        self._port = self._server.server_address[1]
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.01,), name="LogApi", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Ends all connections; new ones are refused."""
        if self._server is None or self._thread is None:
            return
        server, self._server = self._server, None
        server.shutdown()
        self._thread.join()
        server.server_close()
        server.end_connections()
        with self._changed:
            self._changed.notify_all()

    def __enter__(self) -> LogApi:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def endpoint(self) -> str:
        """The URL to give to LogAggregatorHandler."""
        scheme = "https" if self._ssl_context else "http"
        return f"{scheme}://127.0.0.1:{self._port}/api/logs"

    # ---- what arrived

    @property
    def requests(self) -> list[Request]:
        """All requests so far, in order of their answers."""
        with self._changed:
            return list(self._requests)

    @property
    def posts(self) -> list[Request]:
        """Those with records."""
        return [request for request in self.requests if request.method == "POST"]

    @property
    def records(self) -> list[Record]:
        """The records that were accepted."""
        return [record for request in self.requests for record in request.stored]

    def wait_for(self, count: int, timeout: float = 10.0) -> list[Record]:
        """`records`, as soon as there are `count`. AssertionError if there are not by then."""
        self._wait(lambda: len(self.records) >= count, timeout, f"{count} records")
        return self.records

    def wait_for_requests(
        self, count: int, timeout: float = 10.0, method: str = "POST"
    ) -> list[Request]:
        """The requests with `method`, as soon as there are `count`, whatever their answer."""

        def found() -> list[Request]:
            return [request for request in self.requests if request.method == method]

        self._wait(lambda: len(found()) >= count, timeout, f"{count} requests with {method}")
        return found()

    def clear(self) -> None:
        """Forgets what arrived."""
        with self._changed:
            self._requests.clear()

    # ---- failing

    def respond(
        self,
        status: int,
        body: str | bytes | Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        times: int | None = None,
    ) -> None:
        """Answers POST requests so, `times` times (None: until recover()), then as before.

        Several calls queue up.
        """
        if isinstance(body, Mapping):
            body = json.dumps(body)
        if isinstance(body, str):
            body = body.encode()
        with self._changed:
            self._answers.append(_Answer(status, body, dict(headers or {}), times))

    def refuse(self, bad: Callable[[Record], bool], *, named: bool = True) -> None:
        """Answers 400 to requests with records for which `bad` is true, until recover().

        `named`: the answer names them, and the others are accepted; else all are refused.
        """
        with self._changed:
            self._refusal = (bad, named)

    def hang(self) -> None:
        """Accepts requests and does not answer, until recover() or stop()."""
        self._set_fault("hang")

    def reset(self) -> None:
        """Resets each connection (RST) after its request, until recover()."""
        self._set_fault("reset")

    def send_garbage(self) -> None:
        """Answers what is not HTTP, until recover()."""
        self._set_fault("garbage")

    def say_nothing(self) -> None:
        """From now on the health answer says nothing about batches, formats and encodings."""
        self.health = {"status": "ok"}

    def recover(self) -> None:
        """Ends what respond(), refuse(), hang(), reset() and send_garbage() began."""
        with self._changed:
            self._answers.clear()
            self._refusal = None
        self._set_fault(None)

    # ---- inside

    def _set_fault(self, fault: str | None) -> None:
        with self._changed:
            self._fault = fault
            self._changed.notify_all()

    def _wait(self, condition: Callable[[], bool], timeout: float, what: str) -> None:
        with self._changed:
            done = self._changed.wait_for(condition, timeout)
        if not done:
            statuses = [(request.method, request.status) for request in self.requests[-20:]]
            raise AssertionError(
                f"waited {timeout} s for {what}; {len(self.records)} records are stored, "
                f"the last requests were {statuses}"
            )

    def _fault_for_request(self) -> str | None:
        """The fault in force; returns from "hang" only when that is over."""
        with self._changed:
            if self._fault != "hang":
                return self._fault
            self._changed.wait_for(lambda: self._fault != "hang" or self._server is None)
            return "silence"

    def _next_answer(self, records: list[Record]) -> tuple[_Answer, list[Record]]:
        """What to answer to these records, and which of them are accepted by that."""
        with self._changed:
            if not self._answers:
                return self._answer_by_records(records)
            answer = self._answers[0]
            if answer.times is not None:
                answer.times -= 1
                if answer.times <= 0:
                    self._answers.pop(0)
            return answer, records if 200 <= answer.status < 300 else []

    def _answer_by_records(self, records: list[Record]) -> tuple[_Answer, list[Record]]:
        bad, named = self._refusal or (lambda record: False, True)
        errors = [
            {"index": index, "reason": "told to refuse it"}
            for index, record in enumerate(records)
            if bad(record)
        ]
        if not errors:
            return _Answer(), records
        if not named:
            return _Answer(400), []
        good = [record for record in records if not bad(record)]
        body = {"stored": len(good), "duplicates": 0, "errors": errors}
        return _Answer(400, json.dumps(body).encode()), good

    def _record(self, request: Request) -> None:
        with self._changed:
            self._requests.append(request)
            self._changed.notify_all()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(
        self, address: tuple[str, int], api: LogApi, ssl_context: ssl.SSLContext | None
    ) -> None:
        self.api = api
        self._ssl_context = ssl_context
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__(address, _Exchange)

    def finish_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._connections.add(request)
        try:
            if self._ssl_context is not None:
                request = self._ssl_context.wrap_socket(request, server_side=True)
            super().finish_request(request, client_address)
        finally:
            with self._lock:
                self._connections.discard(request)

    def end_connections(self) -> None:
        with self._lock:
            for connection in self._connections:
                with contextlib.suppress(OSError):  # already gone
                    connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is nothing to print about."""


class _Exchange(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet
    disable_nagle_algorithm = True
    server: _Server

    def do_GET(self) -> None:
        api = self.server.api
        if self._fail(b"", b"", []):
            return
        if self.path.partition("?")[0].endswith("/health"):
            answer = _Answer(api.health_status, json.dumps(api.health).encode())
        else:
            answer = _Answer(404)
        self._answer(answer, b"", b"", [], [])

    def do_POST(self) -> None:
        wire = self._read_body()
        encoding = self.headers.get("Content-Encoding", "")
        body = _decode(wire, encoding)
        records = _parse(body) if body is not None else []
        if self._fail(wire, body or b"", records):
            return
        answer = _Answer(415)
        stored: list[Record] = []
        if body is not None:
            answer, stored = self.server.api._next_answer(records)
        if answer.body is None:
            answer = _Answer(answer.status, self._body_for(answer, records), answer.headers)
        self._answer(answer, wire, body or b"", records, stored)

    def _body_for(self, answer: _Answer, records: list[Record]) -> bytes:
        if answer.status == 204:
            return b""
        if 200 <= answer.status < 300:
            return json.dumps({"stored": len(records), "duplicates": 0}).encode()
        return json.dumps({"error": f"told to answer {answer.status}"}).encode()

    def _read_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _fail(self, wire: bytes, body: bytes, records: list[Record]) -> bool:
        fault = self.server.api._fault_for_request()
        if fault is None:
            return False
        self.close_connection = True
        self._remember(None, wire, body, records, [])
        if fault == "garbage":
            self.wfile.write(b"\x16\x03\x01 this is not HTTP\r\n\r\n")
        elif fault == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
        return True

    def _answer(
        self,
        answer: _Answer,
        wire: bytes,
        body: bytes,
        records: list[Record],
        stored: list[Record],
    ) -> None:
        # Remembered first: who sees the answer may look at once.
        self._remember(answer.status, wire, body, records, stored)
        content = answer.body or b""
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if "Content-Type" not in answer.headers:
            self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _remember(
        self,
        status: int | None,
        wire: bytes,
        body: bytes,
        records: list[Record],
        stored: list[Record],
    ) -> None:
        request = Request(
            self.command, self.path, self.headers, body, len(wire), records, stored, status
        )
        self.server.api._record(request)

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing on stderr."""


def _parse(body: bytes) -> list[Record]:
    """The records of one object, an array or NDJSON."""
    try:
        value = json.loads(body)
    except ValueError:
        try:
            value = [json.loads(line) for line in body.splitlines() if line]
        except ValueError:
            return []
    return value if isinstance(value, list) else [value]


def _decode(wire: bytes, encoding: str) -> bytes | None:
    """The body without its encoding; None where that is unknown here."""
    if encoding in ("", "identity"):
        return wire
    if encoding == "gzip":
        return gzip.decompress(wire)
    if encoding == "zstd" and _zstd_decompress:
        return bytes(_zstd_decompress(wire))
    return None


def _find_zstd() -> Any:
    try:
        from compression import zstd  # type: ignore[import-not-found,unused-ignore]

        return zstd.decompress
    except ImportError:
        pass
    try:
        import zstandard  # type: ignore[import-not-found,unused-ignore]

        return lambda data: zstandard.ZstdDecompressor().decompressobj().decompress(data)
    except ImportError:
        return None


_zstd_decompress = _find_zstd()

try:
    import pytest
except ImportError:
    pass
else:

    @pytest.fixture
    def log_api() -> Iterator[LogApi]:
        """A LogApi that runs for one test."""
        with LogApi() as api:
            yield api
