"""The group `growth` of ./run bench: how cost grows with what is logged, and under what.

Message size, number of extras, threads, round-trip time, and what waits in a spool.
"""

import socket
import statistics
import tempfile
from functools import partial
from typing import Any

from plan import Plan, in_turns, spread
from processes import ROOT, SINK, run_workload, server

MIB = 1 << 20
SIZES = tuple(16 << (2 * step) for step in range(7))  # 16 bytes to 64 KiB
EXTRAS = (0, 1, 2, 4, 8, 16, 32)
THREADS = (1, 2, 4, 8, 16, 32, 64)
ROUND_TRIPS_MS = (0, 1, 10, 50, 100)
BACKLOGS = tuple(size * MIB for size in (0, 1, 16, 64, 256, 1024))
CALLERS = ("null", "stream", "opentelemetry", "ours", "accelerated")
SHIPPERS = ("opentelemetry", "batcher", "ours", "accelerated")
THREAD_RECORDS = {"opentelemetry": 20_000, "batcher": 40_000, "ours": 100_000}
THREAD_RECORDS["accelerated"] = 1_000_000
# About two seconds' worth where the round trip is long: batches one after the other.
TRIP_RECORDS = {"opentelemetry": 10_000, "batcher": 20_000, "ours": 150_000}
TRIP_RECORDS["accelerated"] = 1_000_000


def measure(plan: Plan) -> dict[str, Any]:
    return {
        "sizes": by_kind("sizes", SIZES, plan),
        "extras": by_kind("extras", EXTRAS, plan),
        "threads": threads(plan),
        "round_trips": round_trips(plan),
        "backlog": backlog(plan),
    }


def by_kind(workload: str, most: tuple[int, ...], plan: Plan) -> dict[str, Any]:
    """By variant and amount: CPU time of a call."""

    def run(name: str) -> dict[str, Any]:
        with server(SINK) as (url, _):
            return run_workload(
                *(workload, "--endpoint", url, "--shipper", name),
                *("--blocks", plan.pick(2, 3), "--most", *most),
            )

    found = in_turns(plan.present(CALLERS), plan.pick(1, 3), run)
    return {
        name: {kind: spread([run[kind] for run in runs]) for kind in runs[0]}
        for name, runs in found.items()
    }


def threads(plan: Plan) -> dict[str, Any]:
    def run(name: str) -> dict[str, Any]:
        records = THREAD_RECORDS[name] // plan.pick(4, 1)
        with server(SINK) as (url, _):
            return run_workload(
                *("threads", "--endpoint", url, "--shipper", name),
                *("--records", records, "--most", *THREADS),
            )

    found = in_turns(plan.present(SHIPPERS), plan.pick(1, 3), run)
    return {
        name: {
            count: {
                figure: statistics.median(run[count][figure] for run in runs)
                for figure in runs[0][count]
            }
            for count in runs[0]
        }
        for name, runs in found.items()
    }


def round_trips(plan: Plan) -> dict[str, Any]:
    """By shipper and milliseconds: records delivered and acknowledged a second."""
    found: dict[str, Any] = {name: {} for name in plan.present(SHIPPERS)}
    for delay_ms in ROUND_TRIPS_MS:
        measure_one = partial(round_trip, delay_ms, plan)
        runs = in_turns(found, plan.pick(1, 3), measure_one)
        for name, rates in runs.items():
            found[name][str(delay_ms)] = spread([rate["records_per_s"] for rate in rates])
    return found


def round_trip(delay_ms: int, plan: Plan, name: str) -> dict[str, float]:
    records = TRIP_RECORDS[name] // plan.pick(4, 1)
    with server(SINK, "--answer-after", str(delay_ms)) as (url, _):
        run = run_workload("deliver", "--endpoint", url, "--shipper", name, "--records", records)
    return {"records_per_s": records / run["seconds"]}


def backlog(plan: Plan) -> dict[str, Any]:
    most = [size for size in BACKLOGS if size <= plan.pick(64, 1024) * MIB]

    def run(name: str) -> dict[str, Any]:
        with (
            tempfile.TemporaryDirectory(prefix="bench-", dir=ROOT / "build") as spool,
            socket.socket() as taken,
        ):
            taken.bind(("127.0.0.1", 0))  # nobody listens: connections are refused
            url = f"http://127.0.0.1:{taken.getsockname()[1]}"
            return run_workload(
                *("backlog", "--endpoint", url, "--shipper", name),
                *("--spool", spool, "--most", *most),
            )

    runs = in_turns(["ours"], plan.pick(1, 3), run)["ours"]
    return {"ours": {size: spread([run[size] for run in runs]) for size in runs[0]}}
