"""The measured programs of bench.py, each run in a process that it has to itself.

python bench/workloads.py caller  --endpoint URL --calls N --rounds N
python bench/workloads.py deliver --endpoint URL --shipper NAME --records N
python bench/workloads.py pour    --endpoint URL --records N

Each prints one JSON object.
"""

import argparse
import http.client
import json
import logging
import random
import resource
import statistics
import sys
import threading
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests

from log_aggregator_handler import LogAggregatorHandler

NAME, ADDRESS = "ada.lovelace", "192.168.1.100"
EXTRAS = {"user_id": 123, "ip_address": ADDRESS}


class PassHandler(logging.Handler):
    """The cheapest handler whose emit is reached."""

    def emit(self, record: logging.LogRecord) -> None:
        pass


class RequestsHandler(logging.Handler):
    """What people write: a requests.post for each record."""

    def __init__(self, endpoint: str) -> None:
        super().__init__()
        self.endpoint = endpoint
        self.delivered = 0

    def emit(self, record: logging.LogRecord) -> None:
        payload = {
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
            "extra": {name: getattr(record, name) for name in EXTRAS},
        }
        requests.post(self.endpoint, json=payload, timeout=5).raise_for_status()
        self.delivered += 1


def logger_with(handler: logging.Handler) -> logging.Logger:
    logger = logging.Logger(f"bench.{type(handler).__name__}", logging.INFO)
    logger.addHandler(handler)
    return logger


def our_handler(endpoint: str, **options: Any) -> LogAggregatorHandler:
    # Nothing may be dropped in a benchmark: a full queue makes the caller wait, which shows.
    return LogAggregatorHandler(
        endpoint, overflow="block", block_timeout=60.0, close_timeout=60.0, **options
    )


# ---- caller


def time_calls(logger: logging.Logger, calls: int, extra: dict[str, Any] | None) -> float:
    """Nanoseconds of this thread's CPU time for each call."""
    info, name, address = logger.info, NAME, ADDRESS
    started = time.thread_time_ns()
    if extra is None:
        for _ in range(calls):
            info("user %s logged in from %s", name, address)
    else:
        for _ in range(calls):
            info("user %s logged in from %s", name, address, extra=extra)
    return (time.thread_time_ns() - started) / calls


def caller(endpoint: str, calls: int, rounds: int) -> dict[str, Any]:
    """Each variant once a round, so that drift of the machine meets all alike."""
    ours = our_handler(endpoint)
    variants = {
        "NullHandler": logging.NullHandler(),
        "emit is pass": PassHandler(),
        "FileHandler on /dev/null": logging.FileHandler("/dev/null"),
        "LogAggregatorHandler": ours,
    }
    times: dict[tuple[str, bool], list[float]] = {}
    for round_number in range(rounds + 1):
        for name, handler in variants.items():
            logger = logger_with(handler)
            for with_extras in (False, True):
                ns = time_calls(logger, calls, EXTRAS if with_extras else None)
                if round_number > 0:  # the first warms up
                    times.setdefault((name, with_extras), []).append(ns)
            ours.flush()  # the next variant is measured with nothing left to send
    expect_delivered(ours, calls * 2 * (rounds + 1))
    return {
        name: {
            label: {
                "median_ns": statistics.median(times[name, with_extras]),
                "min_ns": min(times[name, with_extras]),
                "max_ns": max(times[name, with_extras]),
            }
            for label, with_extras in (("plain", False), ("extras", True))
        }
        for name in variants
    }


# ---- deliver


def memory_bytes(field: str) -> int:
    """VmRSS or VmHWM of this process; getrusage's peak would include the parent's."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise LookupError(field)


def cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def make_users() -> list[tuple[str, str]]:
    """Names and addresses: equal records would compress as no real ones do."""
    chance = random.Random(1)
    letters = "abcdefghijklmnopqrstuvwxyz"
    return [
        (
            "".join(chance.choices(letters, k=chance.randint(4, 14))),
            ".".join(str(chance.randrange(256)) for _ in range(4)),
        )
        for _ in range(20_011)
    ]


def deliver(endpoint: str, shipper: str, records: int) -> dict[str, Any]:
    return deliver_through(SHIPPERS[shipper](endpoint), records)


def deliver_through(handler: logging.Handler, records: int) -> dict[str, Any]:
    """Logs the records from one thread and waits until all are acknowledged."""
    logger = logger_with(handler)
    users = make_users()
    idle, cpu, started = memory_bytes("VmRSS"), cpu_seconds(), time.perf_counter()
    for number in range(records):
        name, address = users[number * 7919 % len(users)]
        extra = {"user_id": number, "ip_address": address}
        logger.info("user %s logged in from %s", name, address, extra=extra)
    if isinstance(handler, LogAggregatorHandler):
        handler.flush(60.0)
    seconds, cpu = time.perf_counter() - started, cpu_seconds() - cpu
    expect_delivered(handler, records)
    return {
        "seconds": seconds,
        "cpu_seconds": cpu,
        "idle_bytes": idle,
        "peak_bytes": memory_bytes("VmHWM"),
    }


def expect_delivered(handler: Any, records: int) -> None:
    ours = isinstance(handler, LogAggregatorHandler)
    delivered = handler.stats()["delivered"] if ours else handler.delivered
    if delivered != records:
        sys.exit(f"{type(handler).__name__} delivered {delivered} of {records} records")


SHIPPERS: dict[str, Callable[[str], logging.Handler]] = {
    "requests": RequestsHandler,
    "ours": our_handler,
    "ours-uncompressed": lambda endpoint: our_handler(endpoint, compression=None),
}


# ---- pour


def pour(endpoint: str, records: int) -> dict[str, Any]:
    """Posts ready-made batches over four connections: as fast as the collector acknowledges."""
    batch, connections = 1000, 4
    url = urlsplit(endpoint)
    body = b"".join(
        json.dumps(
            {
                "timestamp": datetime.now(timezone.utc).isoformat(timespec="microseconds"),
                "level": "INFO",
                "message": f"user {NAME} logged in from {ADDRESS}, attempt {number}",
                "host": "bench",
                "host_process": "bench.pour",
                "logger_name": "bench.pour",
                "module": "workloads",
                "filename": "workloads.py",
                "funcName": "pour",
                "threadName": "MainThread",
                "lineno": 100,
                "process": 4242,
                "thread": 140_000_000_000,
                "extra": EXTRAS,
            }
        ).encode()
        + b"\n"
        for number in range(batch)
    )
    requests_each = records // batch // connections
    failures: list[str] = []

    def post_all() -> None:
        connection = http.client.HTTPConnection(url.netloc, timeout=60)
        for _ in range(requests_each):
            headers = {"Content-Type": "application/x-ndjson"}
            connection.request("POST", url.path, body, headers)
            answer = connection.getresponse()
            text = answer.read()
            if answer.status != 200 or json.loads(text)["stored"] != batch:
                failures.append(f"{answer.status} {text[:200]!r}")

    threads = [threading.Thread(target=post_all) for _ in range(connections)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - started
    if failures:
        sys.exit(f"the collector answered {failures[0]}")
    return {
        "seconds": seconds,
        "records": requests_each * connections * batch,
        "record_bytes": len(body) / batch,
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("workload", choices=["caller", "deliver", "pour"])
    parser.add_argument("--endpoint", required=True)
    parser.add_argument("--calls", type=int)
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--shipper", choices=list(SHIPPERS))
    parser.add_argument("--records", type=int)
    options = vars(parser.parse_args())
    workloads: dict[str, Callable[..., Any]] = {"caller": caller, "deliver": deliver, "pour": pour}
    workload = workloads[options.pop("workload")]
    given = {name: value for name, value in options.items() if value is not None}
    print(json.dumps(workload(**given)))


if __name__ == "__main__":
    main()
