"""./run bench: what a log call costs, and how fast records are delivered and stored.

Compares in one run, on one machine, and so reports ratios; absolute figures are of this machine.
The programs that are measured are in workloads.py; the server they deliver to is sink.cc, or our
own collector. What a spool on disk costs is measured in spool.py. Repeats go round all variants,
and the median of the repeats is reported.
"""

import argparse
import importlib.metadata
import json
import os
import platform
import statistics
import sys
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import spool
from processes import SINK, collector, process_usage, read_stats, run_workload, server

LABELS = {
    "requests": "requests.post for each record",
    "ours": "LogAggregatorHandler",
    "ours-uncompressed": "LogAggregatorHandler, compression=None",
}


# ---- what is measured


def measure_caller(quick: bool) -> dict[str, Any]:
    with server(SINK) as (url, _):
        calls, rounds = (10_000, 5) if quick else (20_000, 15)
        return run_workload(
            *("caller", "--endpoint", f"{url}/api/logs", "--calls", calls, "--rounds", rounds)
        )


def measure_delivery(quick: bool) -> dict[str, Any]:
    """By target and shipper: medians over the repeats, scaled to 100,000 records."""
    repeats = 3 if quick else 7
    records = {"requests": 1_000 if quick else 5_000, "ours": 100_000}
    runs: dict[tuple[str, str], list[dict[str, float]]] = {}
    with server(SINK) as (sink, _), collector() as (store, _):
        for _ in range(repeats):
            for target, url in (("sink", sink), ("collector", store)):
                for shipper in LABELS:
                    count = records["requests" if shipper == "requests" else "ours"]
                    read_stats(sink)
                    run = run_workload(
                        *("deliver", "--endpoint", f"{url}/api/logs"),
                        *("--shipper", shipper, "--records", count),
                    )
                    sent = read_stats(sink)["bytes"] if target == "sink" else None
                    runs.setdefault((target, shipper), []).append(per_100k(run, count, sent))
    return {
        target: {
            shipper: summarise(runs[target, shipper], runs[target, "requests"])
            for shipper in LABELS
        }
        for target in ("sink", "collector")
    }


def per_100k(run: dict[str, Any], count: int, sent: int | None) -> dict[str, float]:
    result = {
        "records_per_s": count / run["seconds"],
        "cpu_s_per_100k": run["cpu_seconds"] * 1e5 / count,
        "peak_mib": run["peak_bytes"] / 2**20,
        "peak_over_idle_mib": (run["peak_bytes"] - run["idle_bytes"]) / 2**20,
    }
    if sent is not None:
        result["sent_mib_per_100k"] = sent * 1e5 / count / 2**20
    return result


def summarise(runs: list[dict[str, float]], base: list[dict[str, float]]) -> dict[str, float]:
    result = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
    rates = [run["records_per_s"] for run in runs]
    result["records_per_s_min"], result["records_per_s_max"] = min(rates), max(rates)
    result["ratio"] = result["records_per_s"] / statistics.median(
        run["records_per_s"] for run in base
    )
    return result


def measure_collector(quick: bool) -> dict[str, float]:
    """Into an empty store: its indexes grow, so the number of records matters."""
    records = 100_000 if quick else 400_000
    with collector() as (url, pid):
        cpu_before, _ = process_usage(pid)
        run = run_workload("pour", "--endpoint", f"{url}/api/logs", "--records", records)
        cpu, peak = process_usage(pid)
    return {
        "records": run["records"],
        "records_per_s": run["records"] / run["seconds"],
        "record_bytes": run["record_bytes"],
        "cpu_s_per_100k": (cpu - cpu_before) * 1e5 / run["records"],
        "peak_mib": peak / 2**20,
    }


# ---- the report


def conditions(quick: bool) -> dict[str, Any]:
    cpuinfo = Path("/proc/cpuinfo").read_text()
    models = [line.split(":")[1].strip() for line in cpuinfo.splitlines() if "model name" in line]
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "quick": quick,
        "cpu": models[0] if models else platform.machine(),
        "cores": os.cpu_count(),
        "kernel": platform.release().split("-")[0],
        "python": platform.python_version(),
        "versions": {
            name: importlib.metadata.version(name)
            for name in ("log-aggregator-handler", "requests")
        },
        "load_at_start": os.getloadavg()[0],
    }


def print_conditions(where: dict[str, Any]) -> None:
    print(f"{where['cpu']}, {where['cores']} cores, Linux {where['kernel']}, CPython", end=" ")
    print(f"{where['python']}, requests {where['versions']['requests']}, {where['date']}")
    print(f"load average at the start: {where['load_at_start']:.1f}{', quick' * where['quick']}")


def print_caller(caller: dict[str, Any]) -> None:
    base = caller["NullHandler"]
    print("\nWhat logger.info() with two arguments costs its thread (median CPU time of a call)")
    print(f"  {'':40}{'ns':>8}{'× NullHandler':>15}   {'2 extras, ns':>12}{'×':>7}")
    for name, found in caller.items():
        plain, extras = found["plain"]["median_ns"], found["extras"]["median_ns"]
        print(
            f"  {name:40}{plain:8,.0f}{plain / base['plain']['median_ns']:15.2f}"
            f"   {extras:12,.0f}{extras / base['extras']['median_ns']:7.2f}"
        )


def print_delivery(delivery: dict[str, Any]) -> None:
    titles = {
        "sink": "to a server that only acknowledges",
        "collector": "to log-aggregator serve, stored durably",
    }
    for target, found in delivery.items():
        print(f"\nDelivered and acknowledged, two extras, one thread, {titles[target]}")
        print(
            f"  {'':40}{'records/s':>10}{'×':>7}   for 100,000: {'CPU s':>6}{'sent MiB':>9}", end=""
        )
        print(f"{'peak MiB (over idle)':>22}")
        for shipper, row in found.items():
            sent = f"{row['sent_mib_per_100k']:9.1f}" if "sent_mib_per_100k" in row else f"{'':9}"
            print(
                f"  {LABELS[shipper]:40}{row['records_per_s']:10,.0f}{row['ratio']:7.1f}"
                f"{'':16}{row['cpu_s_per_100k']:6.2f}{sent}"
                f"{row['peak_mib']:14.1f} ({row['peak_over_idle_mib']:.1f})"
            )


def print_collector(row: dict[str, float]) -> None:
    print("\nThe collector: batches of 1,000 over 4 connections, acknowledged after the commit")
    print(
        f"  the first {row['records']:,} records of a store: {row['records_per_s']:,.0f} records/s"
        f" of {row['record_bytes']:.0f} bytes;\n"
        f"  {row['cpu_s_per_100k']:.2f} CPU s for 100,000, peak {row['peak_mib']:.1f} MiB"
    )


GROUPS: dict[str, tuple[Callable[[bool], dict[str, Any]], Callable[[Any], None]]] = {
    "caller": (measure_caller, print_caller),
    "delivery": (measure_delivery, print_delivery),
    "collector": (measure_collector, print_collector),
    "spool": (spool.measure, spool.print_report),
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="./run bench")
    parser.add_argument("--quick", action="store_true", help="fewer repeats: about three minutes")
    parser.add_argument(
        "--only", choices=list(GROUPS), action="append", help="this group; may be given again"
    )
    parser.add_argument("--json", metavar="FILE", help="also write all figures there")
    options = parser.parse_args()
    report: dict[str, Any] = {"conditions": conditions(options.quick)}
    print_conditions(report["conditions"])
    for name in options.only or GROUPS:
        measure, print_group = GROUPS[name]
        report[name] = measure(options.quick)
        print_group(report[name])
        sys.stdout.flush()
    if options.json:
        Path(options.json).write_text(json.dumps(report, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
