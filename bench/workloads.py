"""The measured programs of ./run bench, each run in a process that it has to itself.

python bench/workloads.py WORKLOAD ..., see main(). Each prints one JSON object. Those of the group
`spool` are in spool_workloads.py, what starting costs is in startup.py.
"""

import argparse
import http.client
import importlib
import json
import logging
import os
import random
import resource
import statistics
import sys
import threading
import time
from array import array
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from itertools import cycle, islice
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import peers

NAME, ADDRESS = "ada.lovelace", "192.168.1.100"
EXTRAS = {"user_id": 123, "ip_address": ADDRESS}
RATE = 4_000  # records a second where the rate is held
MIB = 1 << 20


def logger_with(handler: Any) -> Any:
    """A logger, picologging's for a handler of picologging."""
    if type(handler).__module__.startswith("picologging"):
        module = importlib.import_module("picologging")
        logger = module.Logger("bench", module.INFO)
    else:
        logger = logging.Logger(f"bench.{type(handler).__name__}", logging.INFO)
    logger.addHandler(handler)
    return logger


def our_handler(endpoint: str, **options: Any) -> Any:
    # Nothing may be dropped in a benchmark: a full queue makes the caller wait, which shows.
    from log_aggregator_handler import LogAggregatorHandler

    return LogAggregatorHandler(
        endpoint, overflow="block", block_timeout=60.0, close_timeout=60.0, **options
    )


def missing() -> dict[str, str]:
    """What cannot be measured with this Python, and why."""
    modules = {
        "picologging": ["picologging"],
        "logging-loki": ["logging_loki"],
        "logstash-http": ["logstash_async.handler"],
        "logstash-tcp": ["logstash_async.handler"],
        "loki-logger-handler": ["loki_logger_handler.loki_logger_handler"],
        "opentelemetry": [
            "opentelemetry.exporter.otlp.proto.http._log_exporter",
            "opentelemetry.instrumentation.logging.handler",
        ],
    }
    found = {}
    for name, needed in modules.items():
        try:
            for module in needed:
                importlib.import_module(module)
        except ImportError as error:
            found[name] = f"not with this Python ({error})"
    return found


# ---- call: CPU time of the calling thread


def time_calls(logger: Any, calls: int, extra: dict[str, Any] | None) -> float:
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


def time_disabled(logger: Any, calls: int) -> float:
    debug, name, address = logger.debug, NAME, ADDRESS
    started = time.thread_time_ns()
    for _ in range(calls):
        debug("user %s logged in from %s", name, address)
    return (time.thread_time_ns() - started) / calls


def time_loop(calls: int) -> float:
    started = time.thread_time_ns()
    for _ in range(calls):
        pass
    return (time.thread_time_ns() - started) / calls


def fail(depth: int) -> None:
    if depth == 1:
        raise ValueError("no such user")
    fail(depth - 1)


def make_error(frames: int = 9) -> Exception:
    try:
        fail(frames - 1)  # and this one
    except ValueError as error:
        return error
    raise AssertionError


def time_exceptions(logger: Any, errors: list[Exception]) -> float:
    log, name = logger.error, NAME
    started = time.thread_time_ns()
    for error in errors:
        log("user %s cannot log in", name, exc_info=error)
    return (time.thread_time_ns() - started) / len(errors)


def call(endpoint: str, shipper: str, calls: int, blocks: int) -> dict[str, float]:
    """The median of the blocks for each kind of call, the kinds in turn."""
    handler, finish, settle = peers.build(shipper, endpoint)
    logger = logger_with(handler)
    errors = [make_error() for _ in range(max(1, calls // 50))]
    kinds: dict[str, Callable[[], float]] = {
        "plain": lambda: time_calls(logger, calls, None),
        "extras": lambda: time_calls(logger, calls, EXTRAS),
        "disabled": lambda: time_disabled(logger, calls),
        "loop": lambda: time_loop(calls),
        "exception": lambda: time_exceptions(logger, errors),
    }
    if shipper == "picologging":
        del kinds["extras"]  # it takes them and leaves them out
        del kinds["exception"]  # its NullHandler, too, does nothing with one
    times: dict[str, list[float]] = {kind: [] for kind in kinds}
    for block in range(blocks + 1):
        for kind, measure in kinds.items():
            ns = measure()
            if block > 0:  # the first warms up
                times[kind].append(ns)
            settle()  # the next is measured with nothing left to send
    finish()
    return {kind: statistics.median(found) for kind, found in times.items()}


# ---- profiled: nothing but calls


def profiled(endpoint: str, shipper: str, seconds: float, records: int) -> dict[str, float]:
    """Calls with extras for so long, or so many; when they began and in which thread."""
    handler, finish, settle = peers.build(shipper, endpoint)
    logger = logger_with(handler)
    time_calls(logger, 2_000, EXTRAS)  # warms up
    settle()
    began, block = time.monotonic(), 2_000
    times: list[float] = []
    while len(times) * block < records if records else time.monotonic() < began + seconds:
        times.append(time_calls(logger, block, EXTRAS))
        settle()
    finish()
    thread = threading.get_native_id()
    return {"call_ns": statistics.median(times), "began_s": began, "thread": thread}


# ---- paced: the time that a call takes at a steady rate


def call_paced(logger: Any, calls: int) -> "array[int]":
    """What each call takes, in ns. Sleeps between the calls."""
    clock, sleep = time.perf_counter_ns, time.sleep
    taken = array("q", bytes(8 * calls))
    due = clock()
    for number in range(calls):
        wait = due - clock()
        if wait > 0:
            sleep(wait / 1e9)
        started = clock()
        logger.info("user %s logged in from %s", "ada.lovelace", "192.168.1.100")
        taken[number] = clock() - started
        due += 1_000_000_000 // RATE
    return taken


def call_while_busy(logger: Any, calls: int) -> "tuple[array[int], array[int]]":
    """What each call takes, and how long after it was due it returns, in ns.

    Works between the calls, so that it loses the interpreter lock to the threads of a shipper as a
    busy application does: in a call, which the first shows, or before one, which the second shows.
    """
    clock = time.perf_counter_ns
    taken, late = array("q", bytes(8 * calls)), array("q", bytes(8 * calls))
    due = clock()
    for number in range(calls):
        while (started := clock()) < due:
            pass
        logger.info("user %s logged in from %s", "ada.lovelace", "192.168.1.100")
        ended = clock()
        taken[number] = ended - started
        late[number] = ended - due
        due += 1_000_000_000 // RATE
    return taken, late


def at(ascending: list[int], share: float) -> int:
    return ascending[min(int(len(ascending) * share), len(ascending) - 1)]


def paced(endpoint: str, shipper: str, seconds: float) -> dict[str, float]:
    handler, finish, _ = peers.build(shipper, endpoint)
    logger = logger_with(handler)
    call_while_busy(logger, RATE // 4)  # warms up
    started = time.perf_counter()
    taken, late = map(sorted, call_while_busy(logger, int(RATE * seconds)))
    rate = len(taken) / (time.perf_counter() - started)
    finish()
    shares = {"p50": 0.5, "p99": 0.99, "p999": 0.999, "max": 1.0}
    return {
        **{f"{name}_ns": at(taken, share) for name, share in shares.items()},
        **{f"late_{name}_ns": at(late, share) for name, share in shares.items()},
        "records_per_s": rate,
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


def log_users(logger: Any, users: list[tuple[str, str]], records: int) -> None:
    for number, (name, address) in enumerate(islice(cycle(users), records)):
        logger.info(
            "user %s logged in from %s",
            name,
            address,
            extra={"user_id": number, "ip_address": address},
        )


def deliver(
    endpoint: str, shipper: str, records: int, spool: str | None = None
) -> dict[str, float]:
    built = peers.build(shipper, endpoint, spool)
    return deliver_through(built.handler, records, built.finish)


def deliver_through(
    handler: Any, records: int, finish: Callable[[], object] | None = None
) -> dict[str, float]:
    """Logs the records from one thread and waits until all are acknowledged."""
    logger, users = logger_with(handler), make_users()
    idle, cpu, started = memory_bytes("VmRSS"), cpu_seconds(), time.perf_counter()
    log_users(logger, users, records)
    if finish is not None:
        finish()
    elif not handler.flush(60.0):
        sys.exit("not all was delivered")
    return usage_since(idle, cpu, started)


def usage_since(idle: int, cpu: float, started: float) -> dict[str, float]:
    seconds, cpu = time.perf_counter() - started, cpu_seconds() - cpu
    return {
        "seconds": seconds,
        "cpu_seconds": cpu,
        "idle_bytes": idle,
        "peak_bytes": memory_bytes("VmHWM"),
    }


# ---- lines: real ones, or what else a file holds


def lines(endpoint: str, shipper: str, records: int, path: str) -> dict[str, float]:
    """Each line a message, over and over; the call's CPU time and the delivery."""
    handler, finish, _ = peers.build(shipper, endpoint)
    logger = logger_with(handler)
    texts = Path(path).read_text().splitlines()
    idle, cpu, started = memory_bytes("VmRSS"), cpu_seconds(), time.perf_counter()
    info, thread_started = logger.info, time.thread_time_ns()
    for text in islice(cycle(texts), records):
        info(text)
    call_ns = (time.thread_time_ns() - thread_started) / records
    finish()
    return usage_since(idle, cpu, started) | {"call_ns": call_ns}


# ---- how the cost of a call grows


def sizes(endpoint: str, shipper: str, most: list[int], blocks: int) -> dict[str, float]:
    """CPU time of a call by the bytes of its message."""
    chance = random.Random(2)
    letters = "abcdefghijklmnopqrstuvwxyz      0123456789\"\\/'"
    texts = {str(size): "".join(chance.choices(letters, k=size)) for size in most}
    calls = {text: max(50, min(10_000, 8 * MIB // (len(texts[text]) + 400))) for text in texts}

    def log(logger: Any, kind: str) -> None:
        info, text = logger.info, texts[kind]
        for _ in range(calls[kind]):
            info("%s", text)

    return medians_by_kind(endpoint, shipper, calls, blocks, log)


def extras(endpoint: str, shipper: str, most: list[int], blocks: int) -> dict[str, float]:
    """CPU time of a call by the number of its extras, half of them texts and half numbers."""
    sets: dict[str, dict[str, Any]] = {
        str(count): {
            f"extra_{number}": f"value {number}" if number % 2 else number * 1001
            for number in range(count)
        }
        for count in most
    }
    calls = dict.fromkeys(sets, 5_000)

    def log(logger: Any, kind: str) -> None:
        info, extra = logger.info, sets[kind]
        for _ in range(calls[kind]):
            info("user %s logged in from %s", NAME, ADDRESS, extra=extra)

    return medians_by_kind(endpoint, shipper, calls, blocks, log)


def medians_by_kind(
    endpoint: str,
    shipper: str,
    calls: dict[str, int],
    blocks: int,
    log: Callable[[Any, str], None],
) -> dict[str, float]:
    handler, finish, settle = peers.build(shipper, endpoint)
    logger = logger_with(handler)
    times: dict[str, list[float]] = {kind: [] for kind in calls}
    for block in range(blocks + 1):
        for kind, count in calls.items():
            started = time.thread_time_ns()
            log(logger, kind)
            ns = (time.thread_time_ns() - started) / count
            if block > 0:  # the first warms up
                times[kind].append(ns)
            settle()
    finish()
    return {kind: statistics.median(found) for kind, found in times.items()}


def threads(endpoint: str, shipper: str, most: list[int], records: int) -> dict[str, Any]:
    """So many threads log at once, `records` together: rate until acknowledged, CPU of a call."""
    handler, finish, settle = peers.build(shipper, endpoint)
    logger = logger_with(handler)
    log_users(logger, make_users(), records // 10)  # warms up
    settle()
    found = {str(count): log_together(logger, count, records, settle) for count in most}
    finish()
    return found


def log_together(
    logger: Any, count: int, records: int, settle: Callable[[], None]
) -> dict[str, float]:
    each, users = records // count, make_users()
    cpu_ns = [0] * count
    barrier = threading.Barrier(count + 1)

    def work(place: int) -> None:
        barrier.wait()
        started = time.thread_time_ns()
        log_users(logger, users, each)
        cpu_ns[place] = time.thread_time_ns() - started

    workers = [threading.Thread(target=work, args=(place,)) for place in range(count)]
    for worker in workers:
        worker.start()
    barrier.wait()
    started = time.perf_counter()
    for worker in workers:
        worker.join()
    logged = time.perf_counter() - started
    settle()
    return {
        "records_per_s": each * count / (time.perf_counter() - started),
        "calls_per_s": each * count / logged,
        "call_ns": sum(cpu_ns) / (each * count),
    }


def backlog(endpoint: str, shipper: str, spool: str, most: list[int]) -> dict[str, float]:
    """CPU time of a call by the bytes that wait in the spool, while the endpoint takes nothing."""
    del shipper  # the builders' handlers wait for answers, this one does not
    from log_aggregator_handler import LogAggregatorHandler

    handler = LogAggregatorHandler(
        f"{endpoint}/api/logs",
        spool_dir=spool,
        spool_max_bytes=2 * max(most) + 64 * MIB,  # INFO may use nine tenths of it
        fallback_logger=logging.Logger("quiet", logging.CRITICAL + 1),
        close_timeout=0.1,
    )
    logger, users = logger_with(handler), make_users()
    time_calls(logger, 2_000, EXTRAS)  # warms up
    found = {}
    for size in most:
        while handler.stats()["pending_bytes"] < size:
            log_users(logger, users, 2_000)
            if dropped := sum(handler.stats()["dropped"].values()):
                sys.exit(f"{dropped} records were dropped before {size} bytes waited")
        time.sleep(0.2)  # what the worker does after a burst
        found[str(size)] = statistics.median(time_calls(logger, 500, EXTRAS) for _ in range(9))
    print(json.dumps(found), flush=True)
    os._exit(0)  # what waits is not what is measured


# ---- pour


def pour(endpoint: str, records: int) -> dict[str, Any]:
    """Posts ready-made batches over four connections: as fast as the collector acknowledges."""
    batch, connections = 1000, 4
    url = urlsplit(endpoint)
    body = b"".join(ready_records(batch))
    requests_each = records // batch // connections
    failures: list[str] = []

    def post_all() -> None:
        connection = http.client.HTTPConnection(url.netloc, timeout=60)
        for _ in range(requests_each):
            headers = {"Content-Type": "application/x-ndjson"}
            connection.request("POST", "/api/logs", body, headers)
            answer = connection.getresponse()
            text = answer.read()
            if answer.status != 200 or json.loads(text)["stored"] != batch:
                failures.append(f"{answer.status} {text[:200]!r}")

    workers = [threading.Thread(target=post_all) for _ in range(connections)]
    started = time.perf_counter()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    seconds = time.perf_counter() - started
    if failures:
        sys.exit(f"the collector answered {failures[0]}")
    return {
        "seconds": seconds,
        "records": requests_each * connections * batch,
        "record_bytes": len(body) / batch,
    }


def ready_records(count: int) -> Iterator[bytes]:
    for number in range(count):
        record = {
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
        yield json.dumps(record).encode() + b"\n"


def main() -> None:
    workloads: dict[str, Callable[..., Any]] = {
        work.__name__: work
        for work in (
            *(missing, call, profiled, paced, deliver, lines, pour),
            *(sizes, extras, threads, backlog),
        )
    }
    parser = argparse.ArgumentParser()
    parser.add_argument("workload", choices=list(workloads))
    parser.add_argument("--endpoint", help="http://HOST:PORT")
    parser.add_argument("--shipper", choices=list(peers.LABELS))
    parser.add_argument("--spool")
    parser.add_argument("--path")
    parser.add_argument("--most", type=int, nargs="+")
    for name in ("calls", "blocks", "records"):
        parser.add_argument(f"--{name}", type=int)
    parser.add_argument("--seconds", type=float)
    options = vars(parser.parse_args())
    workload = workloads[options.pop("workload")]
    given = {name: value for name, value in options.items() if value is not None}
    print(json.dumps(workload(**given)))


if __name__ == "__main__":
    main()
