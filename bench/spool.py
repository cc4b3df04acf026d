"""The group `spool` of ./run bench: what a spool on disk costs, and what it is worth.

Each figure is a ratio of things measured in turn in one run. The measured programs are in
spool_workloads.py and journal_append.cc. Spools lie under build/, and the file system there is part
of the conditions.
"""

import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from plan import Plan, progress
from processes import BUILD, ROOT, SINK, run_alone, run_program, server

MIB = 1 << 20
QUEUE_MIB = 64  # the default of queue_bytes
SEVERAL_MIB = 16


def measure(plan: Plan) -> dict[str, Any]:
    """Takes five minutes or more, quick one and a half."""
    measurements: dict[str, Callable[[Path, str, bool], dict[str, Any]]] = {
        "append": measure_append,
        "caller": measure_caller,
        "writeback": measure_writeback,
        "outage": measure_outage,
        "growth": measure_growth,
        "start": measure_start,
        "rate": measure_rate,
    }
    with (
        tempfile.TemporaryDirectory(prefix="bench-", dir=ROOT / "build") as folder,
        server(SINK) as (url, _),
    ):
        place = Path(folder)
        report: dict[str, Any] = {"file_system": file_system(place)}
        for name, measurement in measurements.items():
            progress(f"spool, {name}")
            report[name] = measurement(place, f"{url}/api/logs", plan.quick)
        return report


# ---- around the measured programs


def file_system(place: Path) -> str:
    """Its type, by the longest mount point that the place is under."""
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    above = [fields for fields in mounts if place.is_relative_to(fields[1])]
    return max(above, key=lambda fields: len(fields[1]))[2]


def run(workload: str, **options: object) -> dict[str, Any]:
    arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
    return run_alone(workload, *arguments, program="spool_workloads.py")


@contextmanager
def new_folder(place: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="spool-", dir=place) as folder:
        yield Path(folder)


@contextmanager
def neighbour(place: Path) -> Iterator[None]:
    """A process that writes and syncs on the same file system all the while."""
    path = place / "neighbour"
    command = [sys.executable, ROOT / "bench" / "spool_workloads.py", "churn", "--path", path]
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, text=True)
    assert process.stdout
    try:
        if process.stdout.readline() != "started\n":
            sys.exit("the process that writes and syncs did not start")
        yield
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        path.unlink(missing_ok=True)


def url_of(listener: socket.socket) -> str:
    return f"http://127.0.0.1:{listener.getsockname()[1]}/api/logs"


@contextmanager
def refusing() -> Iterator[str]:
    """An endpoint that no connection reaches: the port is taken, but nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield url_of(taken)


@contextmanager
def hanging() -> Iterator[str]:
    """An endpoint that takes connections and requests and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(128)
        yield url_of(listener)


# ---- what is measured


def measure_append(place: Path, _: str, quick: bool) -> dict[str, Any]:
    with new_folder(place) as folder:
        found = run_program(BUILD / "log_aggregator_journal_append", folder, 5 if quick else 15)
    return {
        name: row
        | {
            "ratio": row["median_ns"] / found["anonymous"]["median_ns"],
            "ratio_of_mapping": row["median_ns"] / found["anonymous, with checksums"]["median_ns"],
        }
        for name, row in found.items()
    }


def measure_caller(place: Path, sink: str, quick: bool) -> dict[str, Any]:
    calls, rounds = (10_000, 7) if quick else (20_000, 25)
    with new_folder(place) as folder:
        return run("caller", endpoint=sink, spool=folder, calls=calls, rounds=rounds)


def measure_paced(variants: list[tuple[str, str, str]], seconds: int, rounds: int) -> Any:
    """Each variant for so long, in turn; each but the first compared with it."""
    options = [part for variant in variants for part in ("--variants", *variant)]
    found = run_alone(
        *("paced", *options, "--seconds", seconds, "--rounds", rounds),
        program="spool_workloads.py",
    )
    base = found[variants[0][0]]
    for row in found.values():
        pairs = zip(row["p999_ns_by_round"], base["p999_ns_by_round"], strict=True)
        row["ratio"] = row["p999_ns"] / base["p999_ns"]
        row["ratio_p50"] = row["p50_ns"] / base["p50_ns"]
        row["ratio_median_of_rounds"] = statistics.median(ours / other for ours, other in pairs)
    return found


def measure_writeback(place: Path, sink: str, quick: bool) -> dict[str, Any]:
    """Pages that are written back are write-protected again: the next write to one is a fault."""
    seconds, rounds = (5, 5) if quick else (40, 8)
    with new_folder(place) as folder, neighbour(place):
        variants = [("memory", sink, "-"), ("spool", sink, str(folder))]
        return {"seconds": seconds, "rows": measure_paced(variants, seconds, rounds)}


def measure_outage(place: Path, sink: str, quick: bool) -> dict[str, Any]:
    seconds, rounds = (5, 5) if quick else (20, 5)
    with new_folder(place) as folder, refusing() as refused, hanging() as hung:
        variants = [
            (name, endpoint, str(folder / name))
            for name, endpoint in (("healthy", sink), ("refused", refused), ("hung", hung))
        ]
        return {"seconds": seconds, "rows": measure_paced(variants, seconds, rounds)}


def measure_growth(place: Path, _: str, quick: bool) -> dict[str, Any]:
    """More than the queue holds, while the endpoint takes nothing."""
    records, repeats = 300_000, 1 if quick else 3
    rows: dict[str, list[dict[str, Any]]] = {}
    with refusing() as refused, hanging() as hung:
        for _repeat in range(repeats):
            for name, endpoint in (("refused", refused), ("hung", hung)):
                with new_folder(place) as folder:
                    spooled = run("growth", endpoint=endpoint, spool=folder, records=records)
                rows.setdefault(f"{name}, spool", []).append(spooled)
                in_memory = run("growth", endpoint=endpoint, records=records)
                rows.setdefault(f"{name}, memory", []).append(in_memory)
    return {
        name: {
            "over_idle_mib": max(run["peak_bytes"] - run["idle_bytes"] for run in runs) / MIB,
            "pending_mib": runs[0]["pending_bytes"] / MIB,
            "dropped": runs[0]["dropped"],
            "allowed_mib": SEVERAL_MIB + (0 if name.endswith("spool") else QUEUE_MIB),
        }
        for name, runs in rows.items()
    }


def measure_start(place: Path, sink: str, quick: bool) -> dict[str, Any]:
    """With a small and a large spool that a dead process has left; then the large one is drained.

    Starting delivers a little of what is there, so the small one is made anew each time.
    """
    large_mib, repeats = (64, 5) if quick else (1024, 15)
    with new_folder(place) as large, new_folder(place) as small, refusing() as refused:
        left = run("leave", endpoint=refused, spool=large, size=large_mib * MIB)
        run("leave", endpoint=refused, spool=small, size=MIB)
        times: dict[str, list[float]] = {"small": [], "large": []}
        for _ in range(repeats):
            with new_folder(place) as copy:
                shutil.copytree(small, copy, dirs_exist_ok=True)
                times["small"].append(run("start", endpoint=sink, spool=copy)["seconds"])
            times["large"].append(run("start", endpoint=sink, spool=large)["seconds"])
        return {
            "large_mib": large_mib,
            "small_ms": statistics.median(times["small"]) * 1e3,
            "large_ms": statistics.median(times["large"]) * 1e3,
            "small_max_ms": max(times["small"]) * 1e3,
            "large_max_ms": max(times["large"]) * 1e3,
            "ratio": statistics.median(times["large"]) / statistics.median(times["small"]),
            "records": left["records"],
        }


def measure_rate(place: Path, sink: str, quick: bool) -> dict[str, Any]:
    """Delivered and acknowledged: from memory, through a spool, and what was left in one."""
    records, size_mib, repeats = (100_000, 64, 4) if quick else (200_000, 1024, 5)
    rates: dict[str, list[float]] = {"memory": [], "spool": [], "drain": []}
    with refusing() as refused:
        for number in range(repeats):
            live = run("deliver", endpoint=sink, records=records)
            rates["memory"].append(records / live["seconds"])
            with new_folder(place) as folder:
                live = run("deliver", endpoint=sink, spool=folder, records=records)
                rates["spool"].append(records / live["seconds"])
            if number % (2 if quick else repeats) > 0:  # making what is left takes the longest
                continue
            with new_folder(place) as folder:
                left = run("leave", endpoint=refused, spool=folder, size=size_mib * MIB)["records"]
                drained = run("drain", endpoint=sink, spool=folder, records=left)
                rates["drain"].append(left / drained["seconds"])
    medians = {name: statistics.median(found) for name, found in rates.items()}
    return {
        "drained_mib": size_mib,
        "records_per_s": medians,
        "all": rates,
        "spool_ratio": medians["spool"] / medians["memory"],
        "drain_ratio": medians["drain"] / medians["spool"],
        "drain_ratio_to_memory": medians["drain"] / medians["memory"],
    }


# ---- the report


def goal(met: bool, text: str) -> str:
    return f"   goal {text}: {'met' if met else 'MISSED'}"


def lines(report: dict[str, Any]) -> Iterator[str]:
    yield f"The spool, on {report['file_system']}"
    yield ""
    yield "Journal::append of 300 bytes alone, CPU time of the caller"
    yield f"  {'':40}{'ns':>8}{'×':>11}{'× with checksums':>20}"
    for name, row in report["append"].items():
        yield (
            f"  {name:40}{row['median_ns']:8,.0f}{row['ratio']:11.2f}"
            f"{row['ratio_of_mapping']:20.2f}"
        )
    row = report["caller"]
    yield ""
    yield "logger.info() with two arguments at full speed, CPU time of the caller"
    yield f"  {'memory':40}{row['memory']:8,.0f} ns"
    yield (
        f"  {'spool':40}{row['spool']:8,.0f} ns{row['ratio']:8.2f} ×"
        + goal(row["ratio"] <= 1.1, "≤ 1.1 ×")
    )
    yield from paced_lines("beside a process that writes and syncs", report["writeback"])
    yield from paced_lines("with a spool, endpoint healthy and gone", report["outage"])
    yield ""
    yield "Peak memory over idle, 300,000 records at full speed while the endpoint takes nothing"
    for name, row in report["growth"].items():
        yield (
            f"  {name:40}{row['over_idle_mib']:8.1f} MiB, {row['pending_mib']:.0f} MiB waiting"
            f" ({row['dropped']:,} dropped)"
            + goal(row["over_idle_mib"] <= row["allowed_mib"], f"≤ {row['allowed_mib']} MiB")
        )
    row = report["start"]
    yield ""
    yield "Construction until the first log call has returned, by what a dead process has left"
    yield f"  {'1 MiB':40}{row['small_ms']:8.2f} ms (max {row['small_max_ms']:.2f})"
    yield (
        f"  {str(row['large_mib']) + ' MiB':40}{row['large_ms']:8.2f} ms"
        f" (max {row['large_max_ms']:.2f}){row['ratio']:8.2f} ×" + goal(row["ratio"] <= 3, "≤ 3 ×")
    )
    yield from rate_lines(report["rate"])


def paced_lines(what: str, found: dict[str, Any]) -> Iterator[str]:
    yield ""
    yield f"logger.info() at 4,000 records/s for {found['seconds']} s, {what}, µs"
    yield (
        f"  {'':40}{'p50':>8}{'p99.9':>9}{'max':>10}{'p99.9 ×':>9}{'by rounds ×':>13}{'faults':>8}"
    )
    for place, (name, row) in enumerate(found["rows"].items()):
        yield (
            f"  {name:40}{row['p50_ns'] / 1e3:8.1f}{row['p999_ns'] / 1e3:9.1f}"
            f"{row['max_ns'] / 1e3:10.1f}{row['ratio']:9.2f}{row['ratio_median_of_rounds']:13.2f}"
            f"{row['faults']:8,}" + (goal(row["ratio"] <= 2, "≤ 2 ×") if place > 0 else "")
        )


def rate_lines(row: dict[str, Any]) -> Iterator[str]:
    rates = row["records_per_s"]
    yield ""
    yield "Delivered and acknowledged to a server that only acknowledges, two extras"
    yield f"  {'from memory':40}{rates['memory']:8,.0f} records/s"
    yield (
        f"  {'through a spool':40}{rates['spool']:8,.0f} records/s{row['spool_ratio']:8.2f} ×"
        + goal(row["spool_ratio"] >= 0.85, "≥ 0.85 ×")
    )
    yield (
        f"  {'a spool of ' + str(row['drained_mib']) + ' MiB drained':40}"
        f"{rates['drain']:8,.0f} records/s{row['drain_ratio']:8.2f} × live"
        + goal(row["drain_ratio"] >= 0.8, "≥ 0.8 ×")
    )
