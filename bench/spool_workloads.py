"""The measured programs of spool.py, each run in a process that it has to itself.

python bench/spool_workloads.py WORKLOAD ..., see main(). Each prints one JSON object, but for
`churn`, which writes and syncs until it is killed.
"""

import argparse
import json
import logging
import os
import resource
import statistics
import sys
import time
from array import array
from collections.abc import Callable
from typing import Any

from workloads import (
    RATE,
    at,
    call_paced,
    deliver_through,
    log_users,
    logger_with,
    make_users,
    memory_bytes,
    our_handler,
    time_calls,
)

from log_aggregator_handler import LogAggregatorHandler


def silent_handler(endpoint: str, **options: Any) -> LogAggregatorHandler:
    """A handler whose reports of an unreachable endpoint stay out of the way."""
    quiet = logging.Logger("quiet", logging.CRITICAL + 1)
    return LogAggregatorHandler(endpoint, fallback_logger=quiet, close_timeout=0.1, **options)


def finish(result: dict[str, Any]) -> None:
    """Prints the result and ends at once: what is left in a spool is not what is measured."""
    print(json.dumps(result), flush=True)
    os._exit(0)


# ---- the log call


def caller(endpoint: str, spool: str, calls: int, rounds: int) -> dict[str, Any]:
    """CPU time of a call at full speed, the variants in turn."""
    handlers = {"memory": our_handler(endpoint), "spool": our_handler(endpoint, spool_dir=spool)}
    times: dict[str, list[float]] = {name: [] for name in handlers}
    for round_number in range(rounds + 1):
        for name, handler in handlers.items():
            ns = time_calls(logger_with(handler), calls, None)
            if round_number > 0:  # the first warms up
                times[name].append(ns)
            if not handler.flush():
                sys.exit(f"{name}: not all was delivered")
    pairs = zip(times["spool"], times["memory"], strict=True)
    medians = {name: statistics.median(found) for name, found in times.items()}
    return medians | {"ratio": statistics.median(ours / other for ours, other in pairs)}


def paced(variants: list[list[str]], seconds: float, rounds: int) -> dict[str, Any]:
    """Time of each call at 4,000 a second, the variants in turn, one `rounds`-th each time.

    A variant is its name, its endpoint and its spool's directory, or "-".
    """
    handlers = {
        name: silent_handler(endpoint, **({} if spool == "-" else {"spool_dir": spool}))
        for name, endpoint, spool in variants
    }
    calls = int(RATE * seconds / rounds)
    times: dict[str, list[array[int]]] = {name: [] for name in handlers}
    for handler in handlers.values():
        call_paced(logger_with(handler), RATE // 4)  # warms up
    faults = dict.fromkeys(handlers, 0)
    for _ in range(rounds):
        for name, handler in handlers.items():
            before = page_faults()
            times[name].append(call_paced(logger_with(handler), calls))
            faults[name] += page_faults() - before
    for name, handler in handlers.items():
        if sum(handler.stats()["dropped"].values()) > 0:
            sys.exit(f"{name}: {handler.stats()}")
    return {name: summarise(found) | {"faults": faults[name]} for name, found in times.items()}


def page_faults() -> int:
    """Of this thread: its log calls, and what Python allocates beside."""
    usage = resource.getrusage(resource.RUSAGE_THREAD)
    return usage.ru_minflt + usage.ru_majflt


def summarise(rounds: "list[array[int]]") -> dict[str, Any]:
    together = sorted(ns for taken in rounds for ns in taken)
    return {
        "p50_ns": at(together, 0.5),
        "p999_ns": at(together, 0.999),
        "max_ns": together[-1],
        "p999_ns_by_round": [at(sorted(taken), 0.999) for taken in rounds],
    }


def growth(endpoint: str, spool: str | None, records: int) -> None:
    """Memory while the endpoint takes nothing."""
    handler = silent_handler(endpoint, **({} if spool is None else {"spool_dir": spool}))
    logger, users = logger_with(handler), make_users()
    idle = memory_bytes("VmRSS")
    log_users(logger, users, records)
    time.sleep(1.0)  # the worker's last work on what was logged
    stats = handler.stats()
    finish(
        {
            "idle_bytes": idle,
            "peak_bytes": memory_bytes("VmHWM"),
            "end_bytes": memory_bytes("VmRSS"),
            "pending_bytes": stats["pending_bytes"],
            "dropped": sum(stats["dropped"].values()),
        }
    )


# ---- what earlier processes have left


def leave(endpoint: str, spool: str, size: int) -> None:
    """Logs until so many bytes wait in the spool, and dies."""
    handler = silent_handler(endpoint, spool_dir=spool, spool_max_bytes=2 * size + (8 << 20))
    logger, users = logger_with(handler), make_users()
    while handler.stats()["pending_bytes"] < size:
        log_users(logger, users, 1_000)
    finish({"records": handler.stats()["pending"]})


def start(endpoint: str, spool: str) -> None:
    """From the construction of the handler until the first log call has returned."""
    started = time.perf_counter()
    handler = silent_handler(endpoint, spool_dir=spool)
    logger_with(handler).info("first")
    finish({"seconds": time.perf_counter() - started})


def drain(endpoint: str, spool: str, records: int) -> dict[str, Any]:
    """From the construction of the handler until all that was left is acknowledged."""
    started = time.perf_counter()
    handler = our_handler(endpoint, spool_dir=spool)
    while (delivered := handler.stats()["adopted_delivered"]) < records:
        time.sleep(0.002)
        if time.perf_counter() - started > 600:
            sys.exit(f"drained {delivered} of {records} records")
    return {"seconds": time.perf_counter() - started}


def deliver(endpoint: str, spool: str | None, records: int) -> dict[str, Any]:
    options = {} if spool is None else {"spool_dir": spool, "durability": "process"}
    return deliver_through(our_handler(endpoint, **options), records)


# ---- the neighbour


def churn(path: str) -> None:
    """Writes and syncs all the time."""
    print("started", flush=True)
    block = os.urandom(1 << 20)
    with open(path, "wb", buffering=0) as file:
        while True:
            for _ in range(64):
                file.write(block)
                os.fsync(file.fileno())
            file.seek(0)


def main() -> None:
    parser = argparse.ArgumentParser()
    workloads: dict[str, Callable[..., Any]] = {
        work.__name__: work for work in (caller, paced, growth, leave, start, drain, deliver, churn)
    }
    parser.add_argument("workload", choices=list(workloads))
    parser.add_argument("--endpoint")
    parser.add_argument("--spool")
    parser.add_argument("--path")
    parser.add_argument("--variants", nargs=3, action="append")
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--size", type=int)
    parser.add_argument("--calls", type=int)
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--records", type=int)
    options = vars(parser.parse_args())
    workload = workloads[options.pop("workload")]
    given = {name: value for name, value in options.items() if value is not None}
    if workload in (growth, deliver):
        given.setdefault("spool", None)
    result = workload(**given)
    finish(result)


if __name__ == "__main__":
    main()
