"""The vocabulary of the reliability experiments: shippers, receiving ends, applications, outcomes.

    with Run(OURS_WITH_SPOOL, seed=7) as run:
        app = run.start(threads=2)
        app.wait_until_it_logs()
        app.kill()
        run.drain()
        outcome = run.outcome("kill")

Each record has a key: writer (one thread of one process) and number. The application acknowledges
a log call that returned in a mapped file (reliability/acks.py), so that the harness knows of every
record whether its call returned, whatever killed the application. The receiving end knows what
arrived. Every process and file is the run's own and ends with it.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from reliability.acks import (
    DIED,
    HEALTHY,
    HUNG,
    OUTAGE,
    PHASE,
    PHASES,
    READY,
    STOP,
    Acks,
    quantile_us,
)
from reliability.receivers import RECORD

TESTS = Path(__file__).resolve().parent.parent
START_TIMEOUT_S = 30.0
END_TIMEOUT_S = 120.0
# What the end of an application, as its configuration says it, leaves as its return code.
RETURN_CODES = {
    "return": 0,
    "exit": 0,
    "terminate": -signal.SIGTERM,
    "abort": -signal.SIGABRT,
    "segfault": -signal.SIGSEGV,
    "memory": -signal.SIGKILL,
}


class HarnessError(Exception):
    """A process of the experiment did not start or end: the run says nothing about the shipper."""


@dataclass(frozen=True)
class Shipper:
    """What is under test. `kind` names its set-up in shippers.py."""

    name: str
    kind: str
    receiver: str
    spool: bool = False
    options: dict[str, Any] = field(default_factory=dict)
    settle_s: float = 1.0
    """How long nothing may arrive from its last start before nothing more is expected."""
    counts_drops: bool = True
    accelerated: bool = False
    python: str = sys.executable
    program: str = ""
    """The application, where it is none in Python: what its build calls it."""
    full_rate: float = 0
    """Records a second that stand for full speed where a receiving end is to store them all; 0: as
    fast as it can."""

    @property
    def is_ours(self) -> bool:
        return self.kind == "ours"

    def command(self) -> list[str]:
        """Of the application, but for its configuration."""
        if self.program:
            return [str(build() / "tests" / "programs" / self.program)]
        return [self.python, "-m", "reliability.application"]

    def with_options(self, **options: Any) -> Shipper:
        """The same with further options; only ours are ever tuned."""
        return Shipper(**{**vars(self), "options": {**self.options, **options}})


OURS = Shipper("ours", "ours", "collector")
OURS_WITH_SPOOL = Shipper("ours+spool", "ours", "collector", spool=True, settle_s=10.0)
OURS_ACCELERATED = replace(OURS_WITH_SPOOL, name="ours+spool, accelerated", accelerated=True)
# A program in C++ that logs through spdlog and our sink.
OURS_SPDLOG = replace(
    OURS, name="ours, spdlog", program="log_aggregator_spdlog_application", full_rate=20_000
)
OURS_SPDLOG_WITH_SPOOL = replace(OURS_SPDLOG, name="ours+spool, spdlog", spool=True, settle_s=10.0)


def peers(python: str) -> list[Shipper]:
    """The other shippers, in the environment of `python`."""
    return [
        Shipper(
            *("python-logstash-async", "logstash", "logstash"), counts_drops=False, python=python
        ),
        # It looks into its database every 10 s.
        Shipper(
            *("python-logstash-async+database", "logstash", "logstash"),
            spool=True,
            settle_s=25.0,
            counts_drops=False,
            python=python,
        ),
        Shipper("opentelemetry", "otel", "otlp", python=python),
    ]


@dataclass
class Outcome:
    """What became of the records of one experiment."""

    experiment: str
    shipper: str
    seed: int
    conditions: dict[str, Any]
    accepted: int = 0
    """Records whose log call returned."""
    stored: int = 0
    """Those of them that arrived."""
    spooled: int = 0
    """Those that are still in the spool."""
    dropped: int | None = 0
    """Records that the shipper says it gave up; None: it does not say."""
    lost: int = 0
    """Accepted, but neither stored, spooled nor counted as dropped."""
    surplus: int = 0
    """Stored, spooled and dropped together beyond accepted: what arrived, but was given up since no
    answer came. As many that are lost would go unnoticed."""
    twice: int = 0
    """Records stored more than once."""
    in_call: int = 0
    """Stored, though the application died before their call returned. No fault."""
    hung: int = 0
    """Processes that had not ended END_TIMEOUT_S after they were told to, or hung in a child."""
    died: int = 0
    """Processes that ended otherwise than they were told to, as by a fault while they closed."""
    p50_us: float | None = None
    p999_us: float | None = None
    max_us: float | None = None
    healthy_p999_us: float | None = None
    """The same while the receiving end was well, where it was not always."""
    recovery_s: float | None = None
    """From the receiving end's return, or the last start, until all that is owed had arrived."""
    idle_mib: float | None = None
    peak_mib: float | None = None
    seconds: float = 0.0

    def line(self) -> str:
        """All of it on one line, the same for every experiment."""
        conditions = "".join(f" {name}={value}" for name, value in self.conditions.items())
        return (
            f"{self.experiment} {self.shipper}{conditions} seed={self.seed}"
            f" accepted={self.accepted} stored={self.stored} spooled={self.spooled}"
            f" dropped={'not counted' if self.dropped is None else self.dropped}"
            f" lost={self.lost} twice={self.twice}"
            + (f" surplus={self.surplus}" if self.surplus else "")
            + (f" hung={self.hung}" if self.hung else "")
            + (f" died={self.died}" if self.died else "")
            + f" p50={_figure(self.p50_us, 'us')} p99.9={_figure(self.p999_us, 'us')}"
            f" max={_figure(self.max_us, 'us')}"
            + (f" healthy={self.healthy_p999_us:.1f}us" if self.healthy_p999_us else "")
            + (f" memory={self.idle_mib:.0f}..{self.peak_mib:.0f}MiB" if self.peak_mib else "")
            + f" recovery={_figure(self.recovery_s, 's')}"
        )

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def _figure(value: float | None, unit: str) -> str:
    return "-" if value is None else f"{value:.1f}{unit}"


def find_collector() -> str:
    """The command of this environment's collector."""
    chosen = os.environ.get("LOG_AGGREGATOR_COMMAND")
    return chosen or str(Path(sys.executable).with_name("log-aggregator"))


def build() -> Path:
    """Where the C++ programs of the tests are built."""
    return Path(os.environ.get("LOG_AGGREGATOR_BUILD", TESTS.parent / "build" / "release"))


def _die_with_parent() -> None:
    """In a child: whatever ends the harness, it leaves no processes."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


# ---- the receiving end


class ReceivingEnd:
    """A server process. `kill` and `start` keep its port and what it stored."""

    def __init__(self, directory: Path, kind: str, *options: str) -> None:
        self.url = ""
        self._port = 0
        self._kind = kind
        self._options = options
        self._notes = directory / "received"
        self._store = directory / "logs.sqlite"
        self._errors = directory / "receiver.stderr"
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        with self._errors.open("a") as errors:
            self._process = subprocess.Popen(
                self._command(),
                cwd=TESTS,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                preexec_fn=_die_with_parent,
            )
        assert self._process.stdout
        ready, _, _ = select.select([self._process.stdout], [], [], START_TIMEOUT_S)
        line = self._process.stdout.readline() if ready else ""
        if not line.startswith("listening on "):
            self.kill()
            raise HarnessError(f"no {self._kind}: {line!r} {self._errors.read_text()[-500:]}")
        self.url = line.split()[-1]
        self._port = urlsplit(self.url).port or 0
        if self._kind == "collector":
            self.url += "/api/logs"

    def kill(self) -> None:
        """SIGKILL: connections end, new ones are refused."""
        if self._process:
            self._process.kill()
            self._process.wait()
            if self._process.stdout:
                self._process.stdout.close()
            self._process = None

    def hang(self) -> None:
        """SIGSTOP: the kernel goes on accepting connections, and nobody answers."""
        assert self._process
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process
        self._process.send_signal(signal.SIGCONT)

    def keys(self) -> list[tuple[int, int]]:
        """(writer, number) of everything that is stored, as often as it is."""
        if self._kind == "collector":
            return [key for page in self._pages() for key in _keys(page)]
        return [_key(line.split()) for line in self._lines()]

    def count(self) -> int:
        """How many records are stored; cheap."""
        if self._kind == "collector":
            return int(_match(rb'"id":(\d+)', self._get("?limit=1"), b"0"))
        return sum(1 for _ in self._lines())

    def newest(self) -> tuple[int, int]:
        """The key of the record stored last; (-1, -1) where there is none."""
        if self._kind == "collector":
            found = _keys(self._get("?limit=1"))
        else:
            found = [_key(line.split()) for line in self._lines()][-1:]
        return found[-1] if found else (-1, -1)

    def _command(self) -> list[str]:
        if self._kind == "collector":
            where = ["--listen", f"127.0.0.1:{self._port}", "--store", f"sqlite:{self._store}"]
            return [find_collector(), "serve", *where, *self._options]
        where = ["--port", str(self._port), "--out", str(self._notes)]
        return [sys.executable, "-m", "reliability.receivers", self._kind, *where, *self._options]

    def _get(self, query: str) -> bytes:
        with urllib.request.urlopen(self.url + query, timeout=60) as answer:
            found: bytes = answer.read()
        return found

    def _pages(self) -> Iterator[bytes]:
        query = "?limit=10000"
        while True:
            page = self._get(query)
            yield page
            before = _match(rb'"next":"?(\d+)"?\}\s*$', page, b"")
            if not before:
                return
            query = f"?limit=10000&before={before.decode()}"

    def _lines(self) -> list[bytes]:
        if not self._notes.exists():
            return []
        # A long write may be seen by halves: what has no end yet is not there yet.
        return self._notes.read_bytes().rpartition(b"\n")[0].splitlines()


def _keys(text: bytes) -> list[tuple[int, int]]:
    return [_key(match.groups()) for match in RECORD.finditer(text)]


def _key(parts: Any) -> tuple[int, int]:
    return int(parts[0]), int(parts[1])


def _match(pattern: bytes, text: bytes, default: bytes) -> bytes:
    found = re.search(pattern, text)
    return found.group(1) if found else default


# ---- the application


class Application:
    """A process that logs: reliability/application.py, or tests/programs/spdlog_application.cc."""

    def __init__(self, run: Run, config: dict[str, Any]) -> None:
        self._acks = run.acks
        self._first = config["first_writer"]
        self._threads = config["threads"]
        self._return_code = RETURN_CODES[config["end"]]
        # Each start is another: what writers of old did does not count.
        self._ready = self._acks.words[READY]
        with (run.directory / "application.stderr").open("a") as errors:
            self.process = subprocess.Popen(
                [*run.shipper.command(), json.dumps(config)],
                cwd=TESTS,
                stdin=subprocess.DEVNULL,
                stdout=errors,
                stderr=errors,
                preexec_fn=_die_with_parent,
            )

    def wait_until_it_logs(self, records: int = 1) -> None:
        """Until so many of its calls have returned."""
        wait_for(
            lambda: self.returned() >= records, START_TIMEOUT_S, "the application to log", self
        )

    def wait_until_ready(self) -> None:
        """Until its handler is made and its threads are started."""
        wait_for(lambda: self._acks.words[READY] > self._ready, START_TIMEOUT_S, "its start", self)

    def returned(self) -> int:
        first = self._acks.slot(self._first)
        return sum(self._acks.words[first : first + self._threads])

    def kill(self) -> None:
        """SIGKILL."""
        self._return_code = -signal.SIGKILL
        self.process.kill()
        self.process.wait()

    def wait(self, timeout_s: float = END_TIMEOUT_S) -> bool:
        """Until it ends by itself; False, and it is killed, if it does not."""
        try:
            self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
            return False
        return True

    def died(self) -> bool:
        """Whether it ended otherwise than it was told to, and not by kill()."""
        return self.process.poll() != self._return_code

    def resident_mib(self) -> float:
        """0 once it ended."""
        try:
            status = Path(f"/proc/{self.process.pid}/status").read_text()
        except OSError:
            return 0.0
        found = re.search(r"VmRSS:\s*(\d+)", status)
        return int(found.group(1)) / 1024 if found else 0.0


def wait_for(
    condition: Callable[[], bool], timeout_s: float, what: str, app: Application | None = None
) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        if app is not None and app.process.poll() is not None and not condition():
            raise HarnessError(f"waiting for {what}: it ended with {app.process.returncode}")
        if time.monotonic() > deadline:
            raise HarnessError(f"waited {timeout_s} s for {what}")
        time.sleep(0.001)


# ---- the run


class Run:
    """One shipper, one receiving end, one spool, and any number of applications after or beside one
    another. Leaves nothing behind, except with LOG_AGGREGATOR_KEEP set: then its folder."""

    def __init__(
        self,
        shipper: Shipper,
        seed: int,
        *,
        writers: int = 1000,
        threads: int = 64,
        receiver: str | None = None,
        receiver_options: tuple[str, ...] = (),
        spool: Path | None = None,
    ) -> None:
        """`spool`: where the spool is made, if not in the run's own folder."""
        self.shipper = shipper
        self.seed = seed
        self.directory = Path(tempfile.mkdtemp(prefix="reliability-"))
        self.reports = self.directory / "reports"
        self.reports.mkdir()
        self.spool = (spool or self.directory) / "spool" if shipper.spool else None
        if self.spool:
            self.spool.mkdir(mode=0o700)
        self.acks = Acks(self.directory / "acks", writers, threads)
        self.end = ReceivingEnd(self.directory, receiver or shipper.receiver, *receiver_options)
        self.recovery_s: float | None = None
        self.hung = 0
        self.idle_mib: float | None = None
        self.peak_mib: float | None = None
        self._next_writer = 0
        self._applications: list[Application] = []
        self._name = f"run-{seed & 0xFFFFFFFF:08x}"
        self._began = time.monotonic()

    def __enter__(self) -> Run:
        self.end.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for app in self._applications:
            if app.process.poll() is None:
                app.kill()
        self.end.kill()
        self.acks.close()
        if os.environ.get("LOG_AGGREGATOR_KEEP"):
            print(f"kept {self.directory}", file=sys.stderr)
        else:
            shutil.rmtree(self.directory, ignore_errors=True)

    def start(self, *, threads: int = 2, first_thread: int = 0, **config: Any) -> Application:
        """Starts an application on the run's spool.

        Options, with their defaults below: `records` of each thread, then `end`; `rate` of each
        thread in a second, 0 for as fast as it can; `children`, each logging `child_records`.
        """
        self.acks.words[STOP] = 0
        settings = {
            "run": self._name,
            "shipper": self.shipper.kind,
            "accelerated": self.shipper.accelerated,
            "endpoint": self.end.url,
            "spool": str(self.spool) if self.spool else None,
            "options": self.shipper.options,
            "acks": str(self.directory / "acks"),
            "acks_writers": self.acks.writers,
            "acks_threads": self.acks.threads,
            "reports": str(self.reports),
            "threads": threads,
            "first_writer": self._next_writer,
            "first_thread": first_thread,
            "records": 0,
            "rate": 0,
            "wait": False,
            "end": "return",
            "children": 0,
            "child_records": 0,
            "child_end": "return",
            "fork_every": 0.0,
            **config,
        }
        self._next_writer += threads + settings["children"]
        app = Application(self, settings)
        self._applications.append(app)
        return app

    def accepted(self) -> int:
        """Log calls that have returned, of all applications."""
        return sum(self.acks.returned())

    def set_phase(self, phase: int) -> None:
        """Which histogram the calls count in from now on."""
        self.acks.words[PHASE] = phase

    def stop(self) -> None:
        """Has all applications end their logging, and waits until they ended."""
        self.acks.words[STOP] = 1
        for app in self._applications:
            if app.process.poll() is None and not app.wait():
                self.hung += 1

    def drain(self) -> None:
        """A last start on the same spool, with one record to log; then what is still to arrive."""
        began = time.monotonic()
        if self.shipper.spool:
            app = self.start(threads=1, records=1, wait=True)
            app.wait_until_it_logs()
            self.wait_until_stored(self.shipper.settle_s)
            self.stop()
        else:
            self.wait_until_stored(0.3)
        self.recovery_s = time.monotonic() - began

    def wait_until_stored(self, settle_s: float) -> None:
        """Until everything accepted is stored, or nothing more has arrived for `settle_s`."""
        count, since = -1, time.monotonic()
        while True:
            found = self.end.count()
            if found != count:
                count, since = found, time.monotonic()
                given_up = self._dropped() or 0
                owed = self.accepted() - given_up
                if count >= owed and self._missing(self.end.keys()) <= given_up:
                    return
            if time.monotonic() - since > settle_s:
                return
            time.sleep(0.02)

    def wait_until_caught_up(self, timeout_s: float) -> None:
        """Until the newest stored record is one of those being logged now. Of one writer's run."""
        began = time.monotonic()
        due = self.acks.returned()
        while time.monotonic() - began < timeout_s:
            writer, number = self.end.newest()
            if writer >= 0 and number + 1 >= due[writer]:
                self.recovery_s = time.monotonic() - began
                return
            time.sleep(0.02)

    def watch_memory(self, app: Application, seconds: float) -> None:
        """Lets `seconds` go by; notes the most memory that the application had in them."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self.peak_mib = max(self.peak_mib or 0.0, app.resident_mib())
            time.sleep(min(left, 0.02))

    def outcome(self, experiment: str, **conditions: Any) -> Outcome:
        """What became of the records, now that all is over."""
        returned = self.acks.returned()
        keys = self.end.keys()
        distinct = set(keys)
        in_call = sum(number >= returned[writer] for writer, number in distinct)
        accepted, stored = sum(returned), len(distinct) - in_call
        dropped, spooled = self._dropped(), self._spooled()
        missing = accepted - stored - spooled - (dropped or 0)
        durations = [self.acks.durations(phase) for phase in range(PHASES)]
        worst = OUTAGE if any(durations[OUTAGE]) else HEALTHY
        return Outcome(
            experiment=experiment,
            shipper=self.shipper.name,
            seed=self.seed,
            conditions=conditions,
            accepted=accepted,
            stored=stored,
            spooled=spooled,
            dropped=dropped,
            lost=max(0, missing),
            surplus=max(0, -missing),
            twice=len(keys) - len(distinct),
            in_call=in_call,
            hung=self.hung + self.acks.words[HUNG],
            died=sum(app.died() for app in self._applications) + self.acks.words[DIED],
            p50_us=quantile_us(durations[worst], 0.5),
            p999_us=quantile_us(durations[worst], 0.999),
            max_us=quantile_us(durations[worst], 1),
            healthy_p999_us=None if worst == HEALTHY else quantile_us(durations[HEALTHY], 0.999),
            recovery_s=self.recovery_s,
            idle_mib=self.idle_mib,
            peak_mib=self.peak_mib,
            seconds=time.monotonic() - self._began,
        )

    def _missing(self, keys: list[tuple[int, int]]) -> int:
        returned = self.acks.returned()
        return sum(returned) - sum(number < returned[writer] for writer, number in set(keys))

    def _dropped(self) -> int | None:
        if not self.shipper.counts_drops:
            return None
        reports = [json.loads(path.read_text()) for path in self.reports.iterdir()]
        return sum(int(report["dropped"]) for report in reports)

    def _spooled(self) -> int:
        return 0
