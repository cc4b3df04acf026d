"""./run soak: the experiments of tests/reliability and the soak tests of the other suites, long.

Prints each experiment's identity line, then a table. Ends with 1 where ours lost a record, stored
one twice, hung or ended by a fault, or a suite failed. With --peers the same experiments also run
with other shippers (tests/reliability/peers/requirements.txt, in an environment of their own in
build/peers).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from reliability import experiments  # noqa: E402
from reliability.harness import (  # noqa: E402
    OURS,
    OURS_ACCELERATED,
    OURS_SPDLOG,
    OURS_SPDLOG_WITH_SPOOL,
    OURS_WITH_SPOOL,
    HarnessError,
    Outcome,
    Shipper,
    peers,
)

PEERS = ROOT / "build" / "peers"
FULL_MINUTES = 60  # a run of so many minutes has the counts below
PEER_RATE = 200  # records/s that every shipper here can deliver while all is well
KILLS_AT_ONCE = 25  # then everything is drained and checked, and the next store is empty

Perform = Callable[[Shipper, int], Outcome]


@dataclass
class Task:
    """An experiment, how often it is done, and with which shippers."""

    name: str
    perform: Perform
    times: int = 1
    peers: bool = False
    memory: bool = True
    """Also with ours without a spool."""
    accelerated: bool = False
    """Also with ours with a spool and accelerate()."""
    spdlog: bool = False
    """Also with ours in a C++ program that logs through spdlog, where it is done with ours."""
    may_lose: bool = False
    """Without a spool a record may be lost: nobody promised otherwise."""
    may_drop_what_arrived: bool = False
    """Without a spool: the request whose answer the end of the receiving end has cut off."""
    may_repeat: bool = False
    """The receiving end knows no sequence numbers: what is sent again is stored again."""


def plan(minutes: float) -> list[Task]:
    scale = minutes / FULL_MINUTES

    def many(count: int, least: int) -> int:
        return max(least, round(count * scale))

    kills = many(1000, KILLS_AT_ONCE)
    tasks = [
        Task(
            "kill",
            partial(experiments.kill, kills=KILLS_AT_ONCE),
            times=max(1, round(kills / KILLS_AT_ONCE)),
            memory=False,
            accelerated=True,
            spdlog=True,
        ),
        Task("kill", partial(experiments.kill, kills=many(100, 10)), peers=True, may_lose=True),
        Task(
            "kill after a longer life",
            partial(experiments.kill, kills=many(20, 3), rate=PEER_RATE, life_s=30),
            peers=True,
            may_lose=True,
        ),
        Task(
            "kill-receiver",
            partial(experiments.kill_collector, kills=KILLS_AT_ONCE),
            times=max(1, round(many(500, 50) / KILLS_AT_ONCE)),
        ),
        Task(
            "kill-receiver at a slow rate",
            partial(experiments.kill_collector, kills=many(50, 10), rate=PEER_RATE),
            peers=True,
        ),
    ]
    for how in ("refused", "hung"):
        task = partial(experiments.outage, seconds=many(60, 5), how=how)
        tasks.append(Task(f"outage-{how}", task, may_drop_what_arrived=True, spdlog=True))
        task = partial(experiments.outage, seconds=many(60, 10), rate=PEER_RATE, how=how)
        name = f"outage-{how} at a slow rate"
        tasks.append(Task(name, task, peers=True, may_drop_what_arrived=True))
    tasks.append(Task("memory", partial(experiments.memory, seconds=many(30, 3)), spdlog=True))
    for child_end in ("return", "exit"):
        task = partial(experiments.fork, children=many(1000, 50), child_end=child_end)
        may_lose = child_end == "exit"
        tasks.append(Task("fork", task, peers=True, may_lose=may_lose, spdlog=True))
    for how in experiments.ENDS:
        task = partial(experiments.end, how=how, times=many(20, 2))
        tasks.append(Task(f"end-{how}", task, peers=True, may_lose=how != "return"))
    tasks += [
        Task("out-of-memory", out_of_memory, memory=False),
        Task("siblings", experiments.siblings, times=many(20, 2), memory=False),
        Task(
            "slow-server",
            partial(experiments.slow_server, records=many(20_000, 2000)),
            may_repeat=True,
            spdlog=True,
        ),
    ]
    return tasks


def out_of_memory(shipper: Shipper, seed: int) -> Outcome:
    with experiments.memory_group() as group:
        if group is None:
            raise Skipped("LOG_AGGREGATOR_CGROUP names no memory cgroup to make others in")
        return experiments.out_of_memory(shipper, seed, group=group)


class Skipped(Exception):
    """The machine cannot do it; the reason is said."""


@dataclass
class Report:
    """What --json writes and --table reads."""

    conditions: dict[str, Any]
    outcomes: list[dict[str, Any]] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    suites: list[dict[str, Any]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


# ---- the experiments


def run_task(task: Task, shipper: Shipper, chance: random.Random, report: Report) -> None:
    done: list[Outcome] = []
    times = task.times if shipper.is_ours else 1
    for _ in range(times):
        seed = chance.getrandbits(32)
        try:
            outcome = task.perform(shipper, seed)
        except Skipped as reason:
            say(f"{task.name} {shipper.name} skipped: {reason}")
            report.skipped.append(f"{task.name}: {reason}")
            return
        except HarnessError as error:
            fail(report, f"{task.name} {shipper.name} seed={seed}: {error}")
            return
        say(outcome.line())
        done.append(outcome)
        if shipper.is_ours and (fault := fault_of(outcome, shipper, task)):
            fail(report, f"{outcome.experiment} {shipper.name} seed={seed}: {fault}")
    total = combine(done)
    if len(done) > 1:
        say(f"  all of them: {total.line()}")
    report.outcomes.append(total.as_json())


def fault_of(outcome: Outcome, shipper: Shipper, task: Task) -> str:
    faults = {name: getattr(outcome, name) for name in ("twice", "hung", "died", "lost", "surplus")}
    if task.may_lose and not shipper.spool:
        del faults["lost"]
    if task.may_drop_what_arrived and not shipper.spool:
        del faults["surplus"]
    if task.may_repeat:
        del faults["twice"]
    return " ".join(f"{name}={count}" for name, count in faults.items() if count)


def combine(outcomes: list[Outcome]) -> Outcome:
    """The sums of counts, the worst of times, and the first seed."""
    first = outcomes[0]
    total = Outcome(first.experiment, first.shipper, first.seed, dict(first.conditions))
    counts = ("accepted", "stored", "spooled", "lost", "surplus", "twice", "in_call")
    for name in (*counts, "hung", "died", "seconds"):
        setattr(total, name, sum(getattr(each, name) for each in outcomes))
    for name in ("p50_us", "p999_us", "max_us", "healthy_p999_us", "recovery_s", "idle_mib"):
        setattr(total, name, worst(getattr(each, name) for each in outcomes))
    total.peak_mib = worst(each.peak_mib for each in outcomes)
    dropped = [each.dropped for each in outcomes if each.dropped is not None]
    total.dropped = sum(dropped) if dropped else None
    for name in ("kills", "times"):
        if name in total.conditions:
            total.conditions[name] *= len(outcomes)
    return total


def worst(figures: Iterator[float | None]) -> float | None:
    return max((figure for figure in figures if figure is not None), default=None)


# ---- the other suites


def run_suites(minutes: float, only: str, report: Report) -> None:
    scale = minutes / FULL_MINUTES
    environment = {
        "LOG_AGGREGATOR_SOAK": str(max(1, round(100 * scale))),
        "LOG_AGGREGATOR_SOAK_KILLS": str(max(20, round(500 * scale))),
        "LOG_AGGREGATOR_SOAK_FORKS": str(max(200, round(10_000 * scale))),
    }
    pytest = [sys.executable, "-m", "pytest", "-q", "-rA", "-o", "timeout=7200"]
    # Without ctest, whose time limit they pass.
    tests = sorted((ROOT / "build" / "release").glob("*/*_tests"))
    suites = {f"C++ {path.name}": [str(path)] for path in tests} | {
        "collector kills": [*pytest, "tests/collector/test_collector_kills.py"],
        "forks": [*pytest, "tests/python/test_forks.py"],
        "spool": [*pytest, "tests/python/test_spool.py"],
        "faults": [*pytest, "tests/python/test_faults.py"],
        "hazards": [*pytest, "tests/python/test_hazards.py"],
        "attacks": [*pytest, "tests/python/test_attacks.py"],
        "shutdown": [*pytest, "tests/python/test_shutdown.py"],
    }
    for name, command in suites.items():
        if only in name:
            run_suite(name, command, environment, report)


def run_suite(name: str, command: list[str], environment: dict[str, str], report: Report) -> None:
    log = ROOT / "build" / "logs" / f"soak-{name.replace(' ', '-')}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    with log.open("w") as output:
        code = subprocess.run(
            command,
            cwd=ROOT,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        ).returncode
    seconds = time.monotonic() - began
    lines = sorted(set(identity_lines(log.read_text(errors="replace"))))
    for line in lines:
        say(f"  {line}")
    say(f"{name}: {'passed' if code == 0 else 'FAILED'} in {seconds:.0f} s ({log.name})")
    report.suites.append({"name": name, "passed": code == 0, "seconds": seconds, "lines": lines})
    if code != 0:
        fail(report, f"{name}: see {log}")


def identity_lines(text: str) -> Iterator[str]:
    for line in text.splitlines():
        if re.search(r"\baccepted[ =]\d+|\b\d+ hangs\b|^(worlds|power cuts|bit flips|cuts) ", line):
            yield line.strip()


# ---- the peers


def peer_python() -> str:
    """The interpreter of build/peers, made where there is none that fits the requirements."""
    requirements = ROOT / "tests" / "reliability" / "peers" / "requirements.txt"
    stamp = PEERS / "requirements.sha256"
    wanted = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()
    python = PEERS / "bin" / "python"
    if not stamp.exists() or stamp.read_text() != wanted:
        say("Setting up build/peers, once.")
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(PEERS)], check=True)
        install = [str(python), "-m", "pip", "install", "--quiet", "-r", str(requirements)]
        subprocess.run(install, check=True)
        stamp.write_text(wanted)
    return str(python)


def peer_versions(python: str) -> dict[str, str]:
    listed = subprocess.run(
        [python, "-m", "pip", "list", "--format=json"], capture_output=True, check=True
    )
    wanted = re.compile(r"opentelemetry-(sdk|exporter-otlp-proto-http|instr.*logging)|.*logstash")
    return {
        each["name"]: each["version"]
        for each in json.loads(listed.stdout)
        if wanted.match(each["name"])
    }


# ---- the report


def table(outcomes: list[dict[str, Any]]) -> Iterator[str]:
    """Markdown, for docs/reliability.md."""
    titles = (
        *("experiment", "shipper", "accepted", "stored", "dropped, counted", "**lost**", "twice"),
        *("p99.9 µs (healthy)", "recovery s", "seed"),
    )
    yield "| " + " | ".join(titles) + " |"
    yield "|---|---|" + "---:|" * (len(titles) - 2)
    for each in outcomes:
        conditions = "".join(f", {name} {value}" for name, value in each["conditions"].items())
        healthy = f" ({each['healthy_p999_us']:.0f})" if each["healthy_p999_us"] else ""
        cells = [
            each["experiment"] + conditions,
            each["shipper"],
            f"{each['accepted']:,}",
            f"{each['stored']:,}",
            "not counted" if each["dropped"] is None else f"{each['dropped']:,}",
            f"{each['lost']:,}",
            f"{each['twice']:,}",
            "–" if each["p999_us"] is None else f"{each['p999_us']:.0f}{healthy}",
            "–" if each["recovery_s"] is None else f"{each['recovery_s']:.1f}",
            str(each["seed"]),
        ]
        yield "| " + " | ".join(cells) + " |"


def comparison(outcomes: list[dict[str, Any]]) -> Iterator[str]:
    """Markdown: what each shipper lost, an experiment a row."""
    shippers = list(dict.fromkeys(each["shipper"] for each in outcomes))
    rows: dict[str, dict[str, str]] = {}
    for each in outcomes:
        conditions = "".join(f", {name} {value}" for name, value in each["conditions"].items())
        cell = f"**{each['lost']:,}** of {each['accepted']:,}"
        for name in ("dropped", "twice", "hung", "died"):
            if each.get(name):
                cell += f"; {each[name]:,} {name}"
        rows.setdefault(each["experiment"] + conditions, {})[each["shipper"]] = cell
    yield "| lost of accepted | " + " | ".join(shippers) + " |"
    yield "|---|" + "---|" * len(shippers)
    for experiment, cells in rows.items():
        yield f"| {experiment} | " + " | ".join(cells.get(name, "–") for name in shippers) + " |"


def conditions_of(options: argparse.Namespace) -> dict[str, Any]:
    cpuinfo = Path("/proc/cpuinfo").read_text()
    models = [line.split(":")[1].strip() for line in cpuinfo.splitlines() if "model name" in line]
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "minutes": options.minutes,
        "seed": options.seed,
        "cpu": models[0] if models else platform.machine(),
        "cores": os.cpu_count(),
        "kernel": platform.release().split("-")[0],
        "python": platform.python_version(),
    }


def say(line: str) -> None:
    print(line, flush=True)


def fail(report: Report, what: str) -> None:
    say(f"FAILED {what}")
    report.failures.append(what)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./run soak")
    parser.add_argument(
        "--minutes", type=float, default=5, help=f"about; {FULL_MINUTES} kill ours 1,000 times"
    )
    parser.add_argument("--seed", type=int, help="of all that is random, for the same run again")
    parser.add_argument("--json", metavar="FILE", type=Path, help="also write all figures there")
    parser.add_argument("--peers", action="store_true", help="also other shippers, from PyPI")
    parser.add_argument("--only", metavar="TEXT", default="", help="what has that in its name")
    parser.add_argument(
        "--shipper", metavar="NAME", action="append", help="only this one; may be repeated"
    )
    parser.add_argument(
        "--table", metavar="FILE", type=Path, nargs="+", help="only print tables of --json files"
    )
    options = parser.parse_args()
    if options.seed is None:
        options.seed = random.SystemRandom().getrandbits(32)
    return options


def run_all(options: argparse.Namespace, others: list[Shipper], report: Report) -> None:
    for task in plan(options.minutes):
        if options.only not in task.name:
            continue
        ours = [OURS_WITH_SPOOL]
        if task.memory:
            ours.append(OURS)
        if task.accelerated:
            ours.append(OURS_ACCELERATED)
        if task.spdlog:
            ours += [OURS_SPDLOG_WITH_SPOOL] + ([OURS_SPDLOG] if task.memory else [])
        for shipper in [*ours, *(others if task.peers else [])]:
            if not options.shipper or shipper.name in options.shipper:
                # The same for every shipper, and whatever else is run or left out.
                chance = random.Random(f"{options.seed}/{task.name}")
                run_task(task, shipper, chance, report)
    if not options.shipper:
        run_suites(options.minutes, options.only, report)


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # processes and files end with it
    options = parse()
    if options.table:
        outcomes = [
            each for file in options.table for each in json.loads(file.read_text())["outcomes"]
        ]
        for line in [*table(outcomes), "", *comparison(outcomes)]:
            say(line)
        return 0
    report = Report(conditions_of(options))
    say(f"seed {options.seed}")
    others: list[Shipper] = []
    if options.peers:
        python = peer_python()
        others = peers(python)
        report.conditions["versions"] = peer_versions(python)
    try:
        run_all(options, others, report)
    finally:  # what there is, also of a run that was ended early
        if options.json:
            options.json.write_text(json.dumps(vars(report), indent=2) + "\n")
    say("")
    for line in table(report.outcomes):
        say(line)
    for failure in report.failures:
        say(f"FAILED {failure}")
    say(f"{len(report.outcomes)} experiments, {len(report.failures)} failures, seed {options.seed}")
    return 1 if report.failures or not (report.outcomes or report.suites) else 0


if __name__ == "__main__":
    sys.exit(main())
