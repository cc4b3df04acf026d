"""Connections that drip: each sends one byte a second of a request that never ends.

`drip.py HOST PORT HEADERS BODIES` opens so many that drip headers and so many that drip a body,
prints "dripping" when all have begun, and ends when the server has closed all of the former. It
fails where that takes more than a minute. A process of its own, so that it takes no time from
whoever measures.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import sys
import time

HEADERS = b"POST /api/logs HTTP/1.1\r\nHost: localhost\r\nX-Drip: "
BODY = (
    b"POST /api/logs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b"Content-Length: 1000000\r\n\r\n["
)
PERIOD_S = 1.0
PATIENCE_S = 60.0


def connect(host: str, port: int, begin: bytes) -> socket.socket:
    connection = socket.create_connection((host, port), 20)
    connection.sendall(begin)
    connection.setblocking(False)
    return connection


def is_closed(connection: socket.socket) -> bool:
    try:
        return connection.recv(4096) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def drip(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):  # closed: the selector says so
        connection.send(b" ")


def main() -> int:
    host, port, headers, bodies = sys.argv[1], *map(int, sys.argv[2:])
    bodies_dripping = [connect(host, port, BODY) for _ in range(bodies)]
    waiting = {connect(host, port, HEADERS) for _ in range(headers)}
    print("dripping", flush=True)
    selector = selectors.DefaultSelector()
    for connection in waiting:
        selector.register(connection, selectors.EVENT_READ, connection)
    begin = next_drip = time.monotonic()
    while waiting and time.monotonic() - begin < PATIENCE_S:
        for key, _ in selector.select(max(next_drip - time.monotonic(), 0)):
            if is_closed(key.data):
                selector.unregister(key.data)
                waiting.discard(key.data)
        if time.monotonic() >= next_drip:
            next_drip += PERIOD_S
            for connection in [*waiting, *bodies_dripping]:
                drip(connection)
    return 1 if waiting else 0


if __name__ == "__main__":
    sys.exit(main())
