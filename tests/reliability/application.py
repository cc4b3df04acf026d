"""The application under test: logs from several threads and acknowledges each call that returned.

python -m reliability.application CONFIG, in the folder tests. CONFIG is the JSON of
harness.Application. It goes on until `records` of each thread are logged or the harness says stop,
and then ends as `end` says. Each record's message begins with its key: `RUN WRITER NUMBER `.
"""

from __future__ import annotations

import atexit
import ctypes
import json
import math
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from reliability.acks import BUCKETS, DIED, HUNG, PHASE, READY, STOP, Acks

Config = dict[str, Any]
CHILD_DEADLINE_S = 30.0
CHILDREN_AT_ONCE = 8


def write(
    words: memoryview[int],
    slot: int,
    histogram: int,
    log: Callable[..., None],
    key: tuple[str, int],
    limit: int,
    interval_ns: int,
) -> None:
    """Logs until `limit` (0: none) or until told to stop. Written for speed."""
    clock, sleep = time.perf_counter_ns, time.sleep
    run, writer = key
    number = 0
    due = clock()
    while number != (limit or -1) and not words[STOP]:
        began = clock()
        log("%s %d %d order placed by %s from %s", run, writer, number, "ada", "192.168.1.100")
        took = clock() - began
        number += 1
        words[slot] = number
        size = took.bit_length()
        words[
            histogram + words[PHASE] * BUCKETS + (size - 4) * 16 + ((took >> (size - 5)) & 15)
        ] += 1
        if interval_ns:
            due += interval_ns
            wait = due - clock()
            if wait > 0:
                sleep(wait / 1e9)
            elif wait < -100_000_000:  # it was held up: that is no reason for a burst
                due = clock()


class Application:
    def __init__(self, config: Config) -> None:
        self.config = config
        self.acks = Acks(Path(config["acks"]), config["acks_writers"], config["acks_threads"])
        self.shipper: Any = None
        self.children: dict[int, float] = {}
        # Before logging registers its own, so that this runs after it: when all is over.
        atexit.register(self._report)

    def run(self) -> None:
        config = self.config
        import logging

        from reliability.shippers import SHIPPERS

        if config["accelerated"]:
            from log_aggregator_handler import accelerate

            accelerate()
        logger = logging.getLogger("app")
        logger.setLevel(logging.INFO)
        logger.propagate = False
        self.shipper = SHIPPERS[config["shipper"]](
            config["endpoint"], config["spool"], config["options"]
        )
        logger.addHandler(self.shipper.handler)
        self.log = logger.info
        threads = [
            threading.Thread(target=self._write, args=(config["first_writer"] + i, i))
            for i in range(config["threads"])
        ]
        for thread in threads:
            thread.start()
        self.acks.words[READY] += 1
        if config["children"]:
            self._fork_children()
        for thread in threads:
            thread.join()
        if not threads or config["wait"]:
            while not self.acks.words[STOP]:
                time.sleep(0.005)
        self._end(config["end"])

    def _write(self, writer: int, thread: int) -> None:
        config, acks = self.config, self.acks
        write(
            acks.words,
            acks.slot(writer),
            acks.histogram(config["first_thread"] + thread),
            self.log,
            (config["run"], writer),
            config["records"],
            int(1e9 / config["rate"]) if config["rate"] else 0,
        )

    def _end(self, how: str) -> None:
        if how == "return":
            return
        if how == "exit":
            os._exit(0)
        if how == "terminate":
            os.kill(os.getpid(), signal.SIGTERM)
        elif how == "abort":
            os.abort()
        elif how == "segfault":
            ctypes.string_at(0)
        elif how == "memory":
            hoard = []
            while True:
                hoard.append(bytearray(b"x" * (1 << 20)))
        raise AssertionError(f"{how!r} did not end the process")

    # ---- forks

    def _fork_children(self) -> None:
        config = self.config
        first = config["first_writer"] + config["threads"]
        self._prctl = ctypes.CDLL(None).prctl
        for number in range(config["children"]):
            while len(self.children) >= CHILDREN_AT_ONCE:
                self._reap()
            if config["fork_every"]:
                time.sleep(config["fork_every"])
            pid = os.fork()
            if pid == 0:
                self.children.clear()
                self._child(first + number)
            self.children[pid] = time.monotonic() + CHILD_DEADLINE_S
        while self.children:
            self._reap()
        self.acks.words[STOP] = 1

    def _child(self, writer: int) -> None:
        config, acks = self.config, self.acks
        self._prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: one that hangs must not outlive the run
        write(
            acks.words,
            acks.slot(writer),
            acks.histogram(acks.threads - 1),  # shared by children, so their times do not count
            self.log,
            (config["run"], writer),
            config["child_records"],
            0,
        )
        if config["child_end"] == "exit":
            os._exit(0)
        if config["child_end"] == "abort":
            os.abort()
        sys.exit(0)

    def _reap(self) -> None:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid:
            killed = self.children.pop(pid) == math.inf
            if status and not killed:
                self.acks.words[DIED] += 1
                print(
                    f"child {pid} ended with {os.waitstatus_to_exitcode(status)}", file=sys.stderr
                )
            return
        now = time.monotonic()
        for child, deadline in self.children.items():
            if now > deadline:
                self.acks.words[HUNG] += 1
                os.kill(child, signal.SIGKILL)
                self.children[child] = math.inf
        time.sleep(0.001)

    def _report(self) -> None:
        if self.shipper is not None:
            path = (
                Path(self.config["reports"]) / f"{os.getpid()}-{self.config['first_writer']}.json"
            )
            path.write_text(json.dumps(self.shipper.report(), default=str))


def main() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    Application(json.loads(sys.argv[1])).run()


if __name__ == "__main__":
    main()
