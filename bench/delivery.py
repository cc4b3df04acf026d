"""The groups `delivery`, `collector` and `lines` of ./run bench: records delivered a second.

Each shipper speaks its own protocol, and sink.cc answers it. Before anything is measured, each
delivers some records to a sink that counts them: all must arrive.
"""

import os
import random
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cpp
from plan import Plan, in_turns, medians, progress
from processes import (
    PYTHON,
    ROOT,
    SINK,
    collector,
    process_usage,
    read_stats,
    run_alone,
    run_program,
    run_workload,
    server,
)

MIB = 1 << 20
MARKER = "user_id"  # stands once in each record, whatever the protocol
# How many records a run delivers: one to two seconds' worth.
RECORDS = {
    "requests": 2_000,
    "http-handler": 4_000,
    "logging-loki": 2_000,
    "logstash-http": 6_000,
    "logstash-tcp": 2_000,
    "loki-logger-handler": 20_000,
    "opentelemetry": 20_000,
    "batcher": 40_000,
    "ours-plain": 150_000,
    "ours": 150_000,
    "ours-spool": 150_000,
    "accelerated-plain": 1_500_000,
    "accelerated": 1_500_000,
    "accelerated-spool": 1_500_000,
}
TO_COLLECTOR = ("requests", "ours", "accelerated")
LINES = (
    *("loki-logger-handler", "opentelemetry", "batcher"),
    *("ours-plain", "ours", "accelerated-plain", "accelerated"),
)


# ---- delivery


def measure(plan: Plan) -> dict[str, Any]:
    names = plan.present(RECORDS)
    for name in names:
        progress(f"verifying: {name}")
        verify(name)
    rounds = plan.pick(3, 7)
    sent = in_turns(names, rounds, lambda name: deliver_to_sink(name, plan))
    starts = in_turns(names, rounds, start)
    stored = in_turns(
        plan.present(TO_COLLECTOR), plan.pick(2, 5), lambda name: deliver_to_collector(name, plan)
    )
    return {
        "sink": {name: medians(sent[name]) | medians(starts[name]) for name in names},
        "collector": {name: medians(runs) for name, runs in stored.items()},
    }


def records_of(name: str, plan: Plan) -> int:
    return RECORDS[name] // plan.pick(4, 1)


def verify(name: str) -> None:
    records = min(RECORDS[name], 20_000)
    with server(SINK, "--count", MARKER) as (url, _), spool_folder() as spool:
        run_deliver(url, name, records, spool)
        arrived = read_stats(url)["records"]
    if arrived != records:
        sys.exit(f"{name}: {arrived} of {records} records arrived")


def deliver_to_sink(name: str, plan: Plan) -> dict[str, float]:
    records = records_of(name, plan)
    with server(SINK) as (url, _), spool_folder() as spool:
        run = run_deliver(url, name, records, spool)
        sent = read_stats(url)["bytes"]
    return per_record(run, records) | {"sent_bytes": sent / records}


def deliver_to_collector(name: str, plan: Plan) -> dict[str, float]:
    records = min(records_of(name, plan), 300_000)
    with collector() as (url, _), spool_folder() as spool:
        return per_record(run_deliver(url, name, records, spool), records)


def run_deliver(url: str, name: str, records: int, spool: str) -> dict[str, Any]:
    spool_option = ("--spool", spool) if name.endswith("spool") else ()
    return run_workload(
        *("deliver", "--endpoint", url, "--shipper", name, "--records", records), *spool_option
    )


def per_record(run: dict[str, Any], records: int) -> dict[str, float]:
    return {
        "records_per_s": records / run["seconds"],
        "cpu_s_per_million": run["cpu_seconds"] * 1e6 / records,
        "peak_over_idle_mib": (run["peak_bytes"] - run["idle_bytes"]) / MIB,
    }


@contextmanager
def spool_folder() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="bench-", dir=ROOT / "build") as folder:
        yield folder


def start(name: str) -> dict[str, Any]:
    return {f"start_{figure}": value for figure, value in run_startup(name).items()}


def run_startup(name: str, package: str = "") -> dict[str, Any]:
    """In a program that imports from the folder `package` first."""
    environment = os.environ | {"PYTHONPATH": package}
    with server(SINK) as (url, _), spool_folder() as spool:
        program = (PYTHON, ROOT / "bench" / "startup.py", name, url, spool)
        return run_program(*program, environment=environment)


# ---- collector


STORES = {"with full text": (), "without": ("--no-full-text",)}


def measure_collector(plan: Plan) -> dict[str, Any]:
    """Into an empty store: its indexes grow, so the number of records matters."""
    runs = in_turns(STORES, plan.pick(1, 3), lambda name: pour(STORES[name], plan))
    return {name: medians(found) for name, found in runs.items()}


def pour(options: tuple[str, ...], plan: Plan) -> dict[str, float]:
    with collector(*options) as (url, pid):
        cpu_before, _ = process_usage(pid)
        run = run_alone("pour", "--endpoint", url, "--records", plan.pick(100_000, 400_000))
        cpu, peak = process_usage(pid)
    return {
        "records": run["records"],
        "records_per_s": run["records"] / run["seconds"],
        "record_bytes": run["record_bytes"],
        "cpu_s_per_million": (cpu - cpu_before) * 1e6 / run["records"],
        "peak_mib": peak / MIB,
    }


# ---- lines


def measure_lines(plan: Plan) -> dict[str, Any]:
    """Each line a message: the CPU time of its call, and the delivery."""
    texts = read_lines(plan.lines) if plan.lines else make_lines()
    with tempfile.NamedTemporaryFile("w", prefix="bench-", dir=ROOT / "build") as file:
        file.write("\n".join(texts) + "\n")
        file.flush()

        def run(name: str) -> dict[str, float]:
            records = records_of(name, plan)
            with server(SINK) as (url, _):
                found = run_workload(
                    *("lines", "--endpoint", url, "--shipper", name),
                    *("--records", records, "--path", file.name),
                )
                sent = read_stats(url)["bytes"]
            figures = {"call_ns": found["call_ns"], "sent_bytes": sent / records}
            return per_record(found, records) | figures

        runs = in_turns(plan.present(LINES), plan.pick(2, 5), run)
        encoded = cpp.encode(plan, file.name)
    return {
        "source": f"from {plan.lines.name}" if plan.lines else "generated",
        "lines": len(texts),
        "mean_bytes": sum(len(text.encode()) for text in texts) / len(texts),
        "shippers": {name: medians(found) for name, found in runs.items()},
        "encode": encoded,
    }


def read_lines(source: Path) -> list[str]:
    """Of a file, or of the *.log files in a folder."""
    files = sorted(source.glob("*.log")) if source.is_dir() else [source]
    lines = [
        line
        for file in files
        for line in file.read_text(errors="replace").split("\n")
        if line.strip()
    ]
    if not lines:
        sys.exit(f"there are no lines in {source}")
    return [line.replace("\r", "") for line in lines]


def make_lines(count: int = 5_000) -> list[str]:
    """Of the shapes that services write."""
    chance = random.Random(3)
    words = ("checkout", "billing", "session", "cache", "worker", "upload", "search", "mailer")

    def line() -> str:
        address = ".".join(str(chance.randrange(256)) for _ in range(4))
        word, number = chance.choice(words), chance.randrange(10**6)
        return chance.choice(
            (
                f'{address} - - "GET /{word}/{number}?page={number % 9} HTTP/1.1" 200 {number}',
                f"[{word}] job {number:08x} took {number / 7919:.3f} s on {address}",
                f"{word}: connection from {address} port {number % 65536} closed: timed out",
                f'{{"event": "{word}", "user": {number}, "address": "{address}", "ok": true}}',
                f"INFO {word}.{word}Manager: block blk_{number * 7919} of size {number} stored",
            )
        )

    return [line() for _ in range(count)]
