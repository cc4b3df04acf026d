"""The handlers that ./run bench compares, ours and the peers', by name.

Each is set up as its own documentation says. What differs from the defaults does so for all to be
comparable: nothing may be dropped while a benchmark logs as fast as it can, so queues that would
drop are made large enough, and ours makes the caller wait; and the end of a run is not left to a
timer, but asked for (`finish`). Imports stand in the functions: what they cost is measured.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import urlsplit

LABELS = {
    "null": "stdlib, NullHandler",
    "pass": "stdlib, emit is pass",
    "queue": "stdlib, QueueHandler into SimpleQueue",
    "stream": "stdlib, StreamHandler to /dev/null",
    "json": "stdlib, json.dumps into a deque",
    "picologging": "picologging, NullHandler",
    "requests": "requests.post for each record",
    "http-handler": "logging.handlers.HTTPHandler",
    "logging-loki": "python-logging-loki, queued",
    "logstash-http": "python-logstash-async, HTTP",
    "logstash-tcp": "python-logstash-async, TCP (no answers)",
    "loki-logger-handler": "loki-logger-handler",
    "opentelemetry": "OpenTelemetry SDK, batch + OTLP/HTTP",
    "batcher": "a careful batcher in pure Python",
    "ours-plain": "ours, uncompressed",
    "ours": "ours",
    "ours-spool": "ours, with a spool",
    "accelerated-plain": "ours, accelerated, uncompressed",
    "accelerated": "ours, accelerated",
    "accelerated-spool": "ours, accelerated, with a spool",
}

UNLIMITED = 10_000_000  # records: more than any run logs
FORMATTER = logging.Formatter()
STANDARD_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def nothing() -> None:
    pass


class Shipper(NamedTuple):
    handler: Any  # a logging.Handler, or picologging's
    finish: Callable[[], None] = nothing
    """Returns when all that was logged was acknowledged; nothing may be logged after it."""
    settle: Callable[[], None] = nothing
    """The same, but logging may go on. Where there is no such thing, it does nothing."""


# ---- the standard library alone


def null() -> Shipper:
    return Shipper(logging.NullHandler())


class PassHandler(logging.Handler):
    """The cheapest handler whose emit is reached."""

    def emit(self, record: logging.LogRecord) -> None:
        pass


def queue_handler() -> Shipper:
    import queue
    from logging.handlers import QueueHandler

    records: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def drain() -> None:
        while not records.empty():
            records.get()

    return Shipper(QueueHandler(records), drain, drain)


def stream() -> Shipper:
    return Shipper(logging.StreamHandler(open("/dev/null", "w")))


class JsonHandler(logging.Handler):
    """What a shipper written in Python does at least."""

    def __init__(self) -> None:
        super().__init__()
        import collections
        import json

        self.dumps = json.dumps
        self.records: collections.deque[str] = collections.deque()

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(self.dumps(api_record(record)))


def json_handler() -> Shipper:
    handler = JsonHandler()
    return Shipper(handler, handler.records.clear, handler.records.clear)


def picologging() -> Shipper:
    import picologging as module  # type: ignore[import-not-found,unused-ignore]

    return Shipper(module.NullHandler())


# ---- shippers


def api_record(record: logging.LogRecord) -> dict[str, Any]:
    """The record as our API takes it."""
    from datetime import datetime, timezone

    found = {
        "timestamp": datetime.fromtimestamp(record.created, timezone.utc).isoformat(),
        "level": record.levelname,
        "message": record.getMessage(),
        "host": "bench",
        "host_process": record.name,
        "logger_name": record.name,
        "module": record.module,
        "filename": record.filename,
        "funcName": record.funcName,
        "threadName": record.threadName,
        "lineno": record.lineno,
        "process": record.process,
        "thread": record.thread,
        "extra": {
            name: value for name, value in vars(record).items() if name not in STANDARD_FIELDS
        },
    }
    if record.exc_info:
        found["exception"] = FORMATTER.formatException(record.exc_info)
    return found


class RequestsHandler(logging.Handler):
    """What people write."""

    def __init__(self, endpoint: str) -> None:
        super().__init__()
        import requests

        self.post = requests.post
        self.endpoint = endpoint

    def emit(self, record: logging.LogRecord) -> None:
        self.post(self.endpoint, json=api_record(record), timeout=5).raise_for_status()


def requests_handler(url: str) -> Shipper:
    return Shipper(RequestsHandler(f"{url}/api/logs"))


def http_handler(url: str) -> Shipper:
    from logging.handlers import HTTPHandler

    return Shipper(HTTPHandler(urlsplit(url).netloc, "/log", method="POST"))


class Batcher(logging.Handler):
    """A thread of its own that posts what has come, at most 1,000 records, over one connection."""

    def __init__(self, url: str) -> None:
        super().__init__()
        import queue
        import threading

        self.netloc = urlsplit(url).netloc
        self.records: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def createLock(self) -> None:
        """None is needed: a SimpleQueue has its own."""
        self.lock = None

    def emit(self, record: logging.LogRecord) -> None:
        self.records.put(api_record(record))

    def run(self) -> None:
        import http.client
        import json

        connection = http.client.HTTPConnection(self.netloc, timeout=60)
        encode = json.JSONEncoder(separators=(",", ":")).encode
        headers = {"Content-Type": "application/x-ndjson"}
        while (first := self.records.get()) is not None:
            batch = [first]
            while len(batch) < 1000 and not self.records.empty():
                if (record := self.records.get()) is None:
                    self.records.put(None)
                    break
                batch.append(record)
            body = "\n".join(map(encode, batch)).encode()
            connection.request("POST", "/api/logs", body, headers)
            answer = connection.getresponse()
            answer.read()
            if answer.status != 200:
                raise RuntimeError(f"answered {answer.status}")

    def finish(self) -> None:
        self.records.put(None)
        self.thread.join()


def batcher(url: str) -> Shipper:
    handler = Batcher(url)
    return Shipper(handler, handler.finish)


def logging_loki(url: str) -> Shipper:
    from queue import Queue

    from logging_loki import (  # type: ignore[import-not-found,unused-ignore]
        LokiQueueHandler,
    )

    handler = LokiQueueHandler(Queue(), url=f"{url}/loki/api/v1/push", version="1")
    # Of itself it sends the message alone.
    texts = "%(message)s user_id=%(user_id)s ip_address=%(ip_address)s"
    formatter = logging.Formatter(texts, defaults={"user_id": "", "ip_address": ""})
    handler.handler.setFormatter(formatter)
    return Shipper(handler, handler.listener.stop)


def loki_logger_handler(url: str) -> Shipper:
    from loki_logger_handler.loki_logger_handler import (  # type: ignore[import-not-found,unused-ignore]
        LokiLoggerHandler,
    )

    handler = LokiLoggerHandler(f"{url}/loki/api/v1/push", {"application": "bench"})

    def send() -> None:
        handler._send()  # what it does at the end of the program, too
        if handler.error:
            raise RuntimeError("not all was delivered")

    return Shipper(handler, send, send)


def logstash(url: str, transport: str) -> Shipper:
    from logstash_async.handler import (  # type: ignore[import-not-found,unused-ignore]
        AsynchronousLogstashHandler,
    )

    address = urlsplit(url)
    handler = AsynchronousLogstashHandler(
        address.hostname,
        address.port,
        database_path=None,
        transport=f"logstash_async.transport.{transport}",
    )
    return Shipper(handler, handler.close)


def opentelemetry(url: str) -> Shipper:
    from opentelemetry.exporter.otlp.proto.http._log_exporter import (  # type: ignore[import-not-found,unused-ignore]
        OTLPLogExporter,
    )
    from opentelemetry.instrumentation.logging.handler import (  # type: ignore[import-not-found,unused-ignore]
        LoggingHandler,
    )
    from opentelemetry.sdk._logs import (  # type: ignore[import-not-found,unused-ignore]
        LoggerProvider,
    )
    from opentelemetry.sdk._logs.export import (  # type: ignore[import-not-found,unused-ignore]
        BatchLogRecordProcessor,
    )

    provider = LoggerProvider()
    exporter = OTLPLogExporter(endpoint=f"{url}/v1/logs")
    processor = BatchLogRecordProcessor(exporter, max_queue_size=UNLIMITED)
    provider.add_log_record_processor(processor)
    # As it once did by default, and as all others do: the file, the line and the function.
    handler = LoggingHandler(logger_provider=provider, log_code_attributes=True)

    def flush() -> None:
        if not provider.force_flush():
            raise RuntimeError("not all was delivered")

    return Shipper(handler, flush, flush)


def ours(url: str, spool: str | None = None, **options: Any) -> Shipper:
    from log_aggregator_handler import LogAggregatorHandler

    if spool is not None:
        options |= {"spool_dir": spool, "durability": "process"}
    handler = LogAggregatorHandler(
        f"{url}/api/logs", overflow="block", block_timeout=60.0, close_timeout=60.0, **options
    )

    def flush() -> None:
        if not handler.flush(60.0) or sum(handler.stats()["dropped"].values()) > 0:
            raise RuntimeError(f"not all was delivered: {handler.stats()}")

    return Shipper(handler, flush, flush)


def accelerated(url: str, spool: str | None = None, **options: Any) -> Shipper:
    import log_aggregator_handler

    log_aggregator_handler.accelerate()
    return ours(url, spool, **options)


def build(name: str, url: str = "", spool: str | None = None) -> Shipper:
    """With a spool only where the name says so."""
    builders: dict[str, Callable[[], Shipper]] = {
        "null": null,
        "pass": lambda: Shipper(PassHandler()),
        "queue": queue_handler,
        "stream": stream,
        "json": json_handler,
        "picologging": picologging,
        "requests": lambda: requests_handler(url),
        "http-handler": lambda: http_handler(url),
        "logging-loki": lambda: logging_loki(url),
        "logstash-http": lambda: logstash(url, "HttpTransport"),
        "logstash-tcp": lambda: logstash(url, "TcpTransport"),
        "loki-logger-handler": lambda: loki_logger_handler(url),
        "opentelemetry": lambda: opentelemetry(url),
        "batcher": lambda: batcher(url),
        "ours-plain": lambda: ours(url, compression=None),
        "ours": lambda: ours(url),
        "ours-spool": lambda: ours(url, spool),
        "accelerated-plain": lambda: accelerated(url, compression=None),
        "accelerated": lambda: accelerated(url),
        "accelerated-spool": lambda: accelerated(url, spool),
    }
    return builders[name]()
