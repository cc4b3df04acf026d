"""Receiving ends that note which records they got, each as a process of its own.

python -m reliability.receivers KIND --port N --out FILE [--delay S], in the folder tests. KIND:

    logstash   TCP, a record for each line, as Logstash's tcp input with the json_lines codec takes
    otlp       OTLP over HTTP
    api        a log aggregation API: --delay makes it slow

It prints `listening on URL` and runs until it is killed. Noted are the keys of the records
(reliability/application.py) as `WRITER NUMBER` lines, with one write for each request and before it
is answered: what was answered was noted, whatever kills this process.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import re
import socketserver
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

RECORD = re.compile(rb"run-[0-9a-f]+ (\d+) (\d+) order placed")
HEALTH = {
    "status": "ok",
    "batch": {"max_records": 1000, "max_bytes": 1 << 20},
    "formats": ["array", "ndjson"],
    "encodings": ["gzip"],
}


class Notes:
    """An append of less than a few MiB is one write, so threads need no lock."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def add(self, text: bytes) -> None:
        keys = b"".join(b"%b %b\n" % match.groups() for match in RECORD.finditer(text))
        if keys:
            os.write(self._file, keys)


class Receiver:
    """What the servers below have in common."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128
    notes: Notes
    delay_s: float
    answer: bytes


class TcpServer(Receiver, socketserver.ThreadingTCPServer):
    pass


class HttpServer(Receiver, ThreadingHTTPServer):
    pass


class LogstashHandler(socketserver.StreamRequestHandler):
    server: TcpServer

    def handle(self) -> None:
        try:
            for line in self.rfile:
                if line.endswith(b"\n"):
                    self.server.notes.add(line)
        except ConnectionError:
            pass


class HttpHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: HttpServer

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers["Content-Encoding"] == "gzip":
            body = gzip.decompress(body)
        if self.server.delay_s:
            time.sleep(self.server.delay_s)
        self.server.notes.add(body)
        self._answer(self.server.answer)

    def do_GET(self) -> None:
        self._answer(json.dumps(HEALTH).encode())

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=["logstash", "otlp", "api"])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--delay", type=float, default=0.0)
    options = parser.parse_args()
    address = ("127.0.0.1", options.port)
    server: TcpServer | HttpServer
    if options.kind == "logstash":
        server, scheme, path = TcpServer(address, LogstashHandler), "tcp", ""
    else:
        server, scheme = HttpServer(address, HttpHandler), "http"
        path = {"otlp": "/v1/logs", "api": "/api/logs"}[options.kind]
    # An empty body is an empty ExportLogsServiceResponse: all was taken.
    server.answer = b"{}" if options.kind == "api" else b""
    server.notes = Notes(options.out)
    server.delay_s = options.delay
    print(f"listening on {scheme}://127.0.0.1:{server.server_address[1]}{path}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
