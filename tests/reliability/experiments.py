"""The experiments: each takes a shipper, a seed and how much, and returns what became of the
records. tests/reliability/test_*.py run them short, scripts/soak.py runs them long."""

from __future__ import annotations

import contextlib
import os
import random
import time
from collections.abc import Iterator
from pathlib import Path

from reliability.acks import OUTAGE, RECOVERY
from reliability.harness import RETURN_CODES, HarnessError, Outcome, Run, Shipper

# A queue that an outage fills within seconds, and a retry that follows a restart at once.
QUEUE_BYTES = 8 << 20
PATIENT = {"retry_attempts": 1_000_000, "retry_delay": 0.05, "close_timeout": 60.0}


def kill(
    shipper: Shipper,
    seed: int,
    *,
    kills: int,
    rate: float = 0,
    threads: int = 2,
    life_s: float = 0.3,
    spool: Path | None = None,
) -> Outcome:
    """SIGKILL of the application at random instants, each time restarted on the same spool.

    It has logged for up to `life_s` by then. `spool`: the folder to make the spool in.
    """
    chance = random.Random(seed)
    rate = rate or shipper.full_rate
    with Run(shipper, seed, writers=kills * threads + 1, spool=spool) as run:
        for _ in range(kills):
            app = run.start(threads=threads, rate=rate / threads)
            if chance.random() < 0.2:
                # While it starts, too: it may be adopting what its predecessor left.
                time.sleep(chance.uniform(0, 0.25))
            else:
                app.wait_until_it_logs()
                time.sleep(chance.uniform(0, life_s))
            app.kill()
        run.drain()
        where = {"disk": spool.parent.name} if spool else {}
        return run.outcome("kill", kills=kills, rate=rate or "full", life_s=life_s, **where)


def kill_collector(shipper: Shipper, seed: int, *, kills: int, rate: float = 4000) -> Outcome:
    """SIGKILL of the receiving end at random instants under load, restarted on the same store."""
    chance = random.Random(seed)
    if shipper.is_ours:
        shipper = shipper.with_options(**PATIENT)
    with Run(shipper, seed) as run:
        app = run.start(threads=2, rate=rate / 2)
        app.wait_until_it_logs()
        for _ in range(kills):
            time.sleep(chance.uniform(0.02, 0.4))
            run.end.kill()
            run.end.start()
        began = time.monotonic()
        run.stop()
        run.drain()
        run.recovery_s = time.monotonic() - began
        return run.outcome("kill-receiver", kills=kills, rate=rate)


def outage(
    shipper: Shipper, seed: int, *, seconds: float, rate: float = 2000, how: str = "refused"
) -> Outcome:
    """The endpoint is gone for a while: connections refused, or taken and never answered."""
    with Run(shipper, seed) as run:
        app = run.start(threads=1, rate=rate)
        app.wait_until_it_logs()
        run.watch_memory(app, seconds)
        run.idle_mib, run.peak_mib = app.resident_mib(), None
        _take_away(run, how)
        run.set_phase(OUTAGE)
        run.watch_memory(app, seconds)
        run.set_phase(RECOVERY)
        _give_back(run, how)
        run.wait_until_caught_up(60.0)
        run.stop()
        recovery_s = run.recovery_s
        run.drain()
        run.recovery_s = recovery_s
        return run.outcome(f"outage-{how}", seconds=seconds, rate=rate)


def memory(shipper: Shipper, seed: int, *, seconds: float, cap_bytes: int = QUEUE_BYTES) -> Outcome:
    """The endpoint is gone, and the application logs as fast as it can: the cap must hold."""
    if shipper.is_ours:
        cap = "spool_max_bytes" if shipper.spool else "queue_bytes"
        shipper = shipper.with_options(**{cap: cap_bytes})
    with Run(shipper, seed) as run:
        app = run.start(threads=0, wait=True)
        app.wait_until_ready()
        run.idle_mib = app.resident_mib()
        run.stop()
        run.end.kill()
        app = run.start(threads=2)
        app.wait_until_it_logs()
        run.watch_memory(app, seconds)
        run.end.start()
        run.stop()
        run.drain()
        return run.outcome("memory", seconds=seconds, cap_mib=cap_bytes >> 20)


def fork(
    shipper: Shipper,
    seed: int,
    *,
    children: int,
    threads: int = 4,
    rate: float = 1000,
    child_records: int = 20,
    child_end: str = "return",
) -> Outcome:
    """Forks under load: parent and children log, and children end in order or by os._exit."""
    if shipper.is_ours:
        shipper = shipper.with_options(close_timeout=60.0)
    with Run(shipper, seed, writers=threads + children + 1, threads=threads + 1) as run:
        app = run.start(
            threads=threads,
            rate=rate / threads,
            children=children,
            child_records=child_records,
            child_end=child_end,
            fork_every=0.01,
        )
        if not app.wait(60 + children * 2.0):
            run.hung += 1
        run.drain()
        how = {"return": "", "exit": "-os._exit"}.get(child_end, f"-{child_end}")
        return run.outcome(f"fork{how}", children=children, threads=threads, rate=rate)


ENDS = tuple(how for how in RETURN_CODES if how != "memory")


def end(shipper: Shipper, seed: int, *, how: str, records: int = 2000, times: int = 1) -> Outcome:
    """The application logs and then ends: in order, or by os._exit, SIGTERM, abort or a fault."""
    with Run(shipper, seed, writers=2 * times + 1) as run:
        for _ in range(times):
            app = run.start(threads=2, records=records // 2, end=how)
            if not app.wait():
                run.hung += 1
        run.drain()
        return run.outcome(f"end-{how}", times=times, records=records)


@contextlib.contextmanager
def memory_group() -> Iterator[Path | None]:
    """A new group in the memory cgroup that LOG_AGGREGATOR_CGROUP names; None where it names none.

    Only who runs the tests knows where on the machine groups may be made.
    """
    parent = os.environ.get("LOG_AGGREGATOR_CGROUP")
    if not parent:
        yield None
        return
    group = Path(parent) / f"log-aggregator-{os.getpid()}"
    group.mkdir()
    try:
        yield group
    finally:
        group.rmdir()


def out_of_memory(shipper: Shipper, seed: int, *, group: Path, records: int = 2000) -> Outcome:
    """The kernel kills the application for its memory. `group`: an empty memory cgroup of ours."""
    with Run(shipper, seed) as run:
        limit = "memory.max" if (group / "memory.max").exists() else "memory.limit_in_bytes"
        (group / limit).write_text(str(256 << 20))
        app = run.start(threads=2, records=records // 2, end="memory")
        (group / "cgroup.procs").write_text(str(app.process.pid))
        if not app.wait() or app.died():
            raise HarnessError(f"the kernel did not kill it: {app.process.returncode}")
        run.drain()
        return run.outcome("out-of-memory", records=records)


def siblings(
    shipper: Shipper, seed: int, *, processes: int = 8, seconds: float = 1.0, rate: float = 500
) -> Outcome:
    """Processes share a spool root; all but one are killed, and two new ones find the orphans."""
    chance = random.Random(seed)
    with Run(shipper, seed) as run:
        apps = [run.start(threads=2, first_thread=2 * i, rate=rate / 2) for i in range(processes)]
        for app in apps:
            app.wait_until_it_logs()
        for app in chance.sample(apps, processes - 1):
            time.sleep(chance.uniform(0, seconds / processes))
            app.kill()
        late = [run.start(threads=1, first_thread=2 * i, rate=rate) for i in range(2)]
        for app in late:
            app.wait_until_it_logs()
        run.stop()
        run.drain()
        return run.outcome("siblings", processes=processes, killed=processes - 1)


def slow_server(
    shipper: Shipper,
    seed: int,
    *,
    threads: int = 64,
    records: int = 2000,
    delay_s: float = 0.02,
    caps_spool: bool = False,
) -> Outcome:
    """Many threads at full speed, and an API that takes its time: drops are counted exactly.

    `caps_spool`: also the spool may hold no more than the queue has.
    """
    cap: dict[str, int] = {}
    if not shipper.spool or caps_spool:
        cap = {"spool_max_bytes" if shipper.spool else "queue_bytes": QUEUE_BYTES}
    shipper = shipper.with_options(**PATIENT, **cap)
    with Run(
        shipper,
        seed,
        writers=threads + 8,
        threads=threads,
        receiver="api",
        receiver_options=("--delay", str(delay_s)),
    ) as run:
        app = run.start(threads=0)
        app.wait_until_ready()
        run.idle_mib = app.resident_mib()
        run.stop()
        app = run.start(threads=threads, records=records)
        while app.process.poll() is None:
            run.watch_memory(app, 0.05)
        run.drain()
        return run.outcome("slow-server", threads=threads, records=threads * records)


def _take_away(run: Run, how: str) -> None:
    if how == "refused":
        run.end.kill()
    else:
        run.end.hang()


def _give_back(run: Run, how: str) -> None:
    if how == "refused":
        run.end.start()
    else:
        run.end.resume()
