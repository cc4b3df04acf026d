"""./run bench: what a log call costs, how fast records are delivered and stored, beside others.

Compares in one run, on one machine, and so reports ratios; absolute figures are of this machine. A
group is a module here, or two functions of one; its measured programs (workloads.py, C++ programs)
run in processes of their own, repeats go round all variants, and medians are reported with the
least and the most. docs/performance.md says how each is measured.
"""

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

import caller
import cpp
import delivery
import document
import growth
import profiling
import search
import spool
import starting
import tables
import verdicts
from plan import Plan, progress_ends
from processes import make_environment, peer_versions, run_workload

GROUPS: dict[str, Callable[[Plan], dict[str, Any]]] = {
    "caller": caller.measure,
    "latency": caller.measure_latency,
    "delivery": delivery.measure,
    "collector": delivery.measure_collector,
    "cpp": cpp.measure,
    "growth": growth.measure,
    "lines": delivery.measure_lines,
    "spool": spool.measure,
    "search": search.measure,
    "start": starting.measure,
}


def conditions(name: str, plan: Plan) -> dict[str, Any]:
    cpuinfo = Path("/proc/cpuinfo").read_text()
    models = [line.split(":")[1].strip() for line in cpuinfo.splitlines() if "model name" in line]
    ours = "log-aggregator-handler"
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "quick": plan.quick,
        "cpu": models[0] if models else platform.machine(),
        "cores": os.cpu_count(),
        "kernel": platform.release().split("-")[0],
        "python": platform.python_version(),
        "versions": {ours: version(ours)} | ({} if name in tables.ALONE else peer_versions()),
        "load_at_start": os.getloadavg()[0],
        "missing": plan.missing,
    }


def measure_group(name: str, plan: Plan) -> dict[str, Any]:
    where, started = conditions(name, plan), time.monotonic()
    found = GROUPS[name](plan)
    progress_ends()
    return {"conditions": where, "seconds": round(time.monotonic() - started), "found": found}


def print_group(name: str, group: dict[str, Any]) -> None:
    print(f"\n---- {name}, measured in {group['seconds']} s\n")
    print("\n".join(tables.group_lines(name, group)), flush=True)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    names = options.only or list(GROUPS)
    missing = {}
    if any(name not in tables.ALONE for name in names):
        make_environment()
        missing = run_workload("missing")
    if {"cpp", "lines"} & set(names):
        cpp.require()  # now, not after all the others
    plan = Plan(options.quick, missing, options.lines)
    groups: dict[str, Any] = {}
    for name in names:
        groups[name] = measure_group(name, plan)
        print_group(name, groups[name])
    return groups


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./run bench")
    parser.add_argument("--quick", action="store_true", help="fewer repeats: about five minutes")
    parser.add_argument(
        "--only", choices=list(GROUPS), action="append", help="this group; may be given again"
    )
    parser.add_argument("--lines", metavar="PATH", type=Path, help="messages of the group lines")
    parser.add_argument("--json", metavar="FILE", type=Path, help="also write all figures there")
    parser.add_argument(
        "--write-docs", action="store_true", help="renew docs/performance.md, its figures and plots"
    )
    parser.add_argument(
        "--from", dest="source", metavar="FILE", type=Path, help="measure nothing, take this JSON"
    )
    parser.add_argument(
        "--profile", action="store_true", help="where the time of a log call goes, and nothing else"
    )
    options = parser.parse_args()
    for path in (options.lines, options.source):
        if path and not path.exists():
            parser.error(f"there is no {path}")
    return options


def main() -> int:
    options = parse()
    if options.profile:
        make_environment()
        return profiling.run()
    if options.source:
        groups = json.loads(options.source.read_text())
        for name, group in groups.items():
            print_group(name, group)
    else:
        groups = measure(options)
    for lines in (verdicts.goals(groups), verdicts.better(groups)):
        print("\n" + "\n".join(lines))
    if options.json:
        options.json.write_text(json.dumps(groups, indent=1) + "\n")
    if options.write_docs:
        make_environment()
        document.update(groups)
    return 0


if __name__ == "__main__":
    sys.exit(main())
