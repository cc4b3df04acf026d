"""A proxy in front of an API that passes on whole requests and spoils the first answers.

    with SpoilingProxy(collector.port, spoil=SPOILS["reset in the body"], times=3) as proxy:
        handler = LogAggregatorHandler(proxy.endpoint)

The API has taken and answered each request by then: what was spoilt is only known not to be known.
"""

from __future__ import annotations

import contextlib
import socket
import socketserver
import struct
import threading
import time
from collections.abc import Callable
from types import TracebackType

Spoil = Callable[[socket.socket, bytes], None]


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def reset_before(connection: socket.socket, answer: bytes) -> None:
    reset(connection)


def reset_in_headers(connection: socket.socket, answer: bytes) -> None:
    connection.sendall(answer[: answer.index(b"\r\n\r\n") // 2])
    reset(connection)


def reset_after_headers(connection: socket.socket, answer: bytes) -> None:
    connection.sendall(answer[: answer.index(b"\r\n\r\n") + 4])
    reset(connection)


def reset_in_body(connection: socket.socket, answer: bytes) -> None:
    connection.sendall(answer[:-3])
    reset(connection)


def short_body(connection: socket.socket, answer: bytes) -> None:
    connection.sendall(answer[:-3])


def one_byte_at_a_time(connection: socket.socket, answer: bytes) -> None:
    with contextlib.suppress(OSError):  # until the client has had enough
        for byte in answer:
            connection.sendall(bytes([byte]))
            time.sleep(1)


def never(connection: socket.socket, answer: bytes) -> None:
    with contextlib.suppress(OSError):
        connection.recv(1)


SPOILS: dict[str, Spoil] = {
    "reset before the answer": reset_before,
    "reset in the headers": reset_in_headers,
    "reset after the headers": reset_after_headers,
    "reset in the body": reset_in_body,
    "a short body": short_body,
    "one byte a second": one_byte_at_a_time,
    "no answer": never,
}


class SpoilingProxy:
    """`spoilt` counts the answers to POST that were."""

    def __init__(self, port: int, spoil: Spoil, times: int) -> None:
        self.spoilt = 0
        self._port = port
        self._spoil = spoil
        self._times = times
        proxy = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with contextlib.suppress(OSError):
                    proxy._serve(self.request)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            block_on_close = False

        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/api/logs"

    def __enter__(self) -> SpoilingProxy:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _serve(self, client: socket.socket) -> None:
        with socket.create_connection(("127.0.0.1", self._port)) as api:
            while request := read_message(client):
                api.sendall(request)
                answer = read_message(api)
                if request.startswith(b"POST") and self.spoilt < self._times:
                    self.spoilt += 1
                    self._spoil(client, answer)
                    return
                client.sendall(answer)


def read_message(connection: socket.socket) -> bytes:
    """Head and body of a request or an answer; empty where there is none."""
    message = b""
    while b"\r\n\r\n" not in message:
        piece = connection.recv(1 << 16)
        if not piece:
            return b""
        message += piece
    head, _, body = message.partition(b"\r\n\r\n")
    size = 0
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            size = int(value)
    while len(body) < size:
        piece = connection.recv(1 << 16)
        if not piece:
            return b""
        body += piece
    return head + b"\r\n\r\n" + body
