"""./run demo: a real web service logs to a real collector while real requests come in.

Starts `log-aggregator serve` on a temporary SQLite file, examples/web_service.py logging to it, and
`log-aggregator tail` to show the records arrive; the collector's log page shows them, too. Then
acts as the service's customers. Goes on until Ctrl-C, or with --once ends after the requests and
compares what was logged with what was stored. All processes and files are its own and end with it,
however it ends.
"""

import argparse
import ctypes
import http.client
import json
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from demo_audit import audit, read_ledger, read_stored

ROOT = Path(__file__).resolve().parent.parent
COMMAND = Path(sys.executable).with_name("log-aggregator")
CUSTOMERS = 8
REQUESTS_EACH = 40
PR_SET_PDEATHSIG = 1


class DemoError(Exception):
    """Something of the demo did not start, or did not end as it should."""


def end_with_parent() -> None:
    """In a child: a demo that is killed outright leaves no processes either."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def start(*arguments: str | Path, log: Path, output: int | None) -> subprocess.Popen[str]:
    # A session of its own: Ctrl-C reaches only the demo, which then ends the others in order.
    with log.open("w") as errors:
        return subprocess.Popen(
            list(map(str, arguments)),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            text=True,
            start_new_session=True,
            preexec_fn=end_with_parent,
        )


def stop(process: subprocess.Popen[str]) -> int:
    process.terminate()
    try:
        return process.wait(timeout=15)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


@contextmanager
def server(name: str, *arguments: str | Path, folder: Path) -> Iterator[tuple[str, "Stop"]]:
    """A process that prints `listening on URL`; ended with the context at the latest."""
    log = folder / f"{name}.stderr"
    process = start(*arguments, log=log, output=subprocess.PIPE)
    assert process.stdout
    with process.stdout as output:
        try:
            for line in output:
                if line.startswith("listening on "):
                    break
            else:
                raise DemoError(f"the {name} did not start: {log.read_text().strip()}")
            yield line.split()[-1], Stop(name, process, log)
        finally:
            stop(process)


class Stop:
    """Ends a server in order and says so where it did not end well."""

    def __init__(self, name: str, process: subprocess.Popen[str], log: Path) -> None:
        self.name, self.process, self.log = name, process, log

    def __call__(self) -> None:
        status = stop(self.process)
        errors = self.log.read_text().strip()
        # The service's handler would report there what it could not deliver.
        if status != 0 or errors:
            raise DemoError(f"the {self.name} ended with status {status}: {errors}")


class Customer:
    """Buys, pays, and asks for what is not there, over one connection. Its choices are seeded."""

    def __init__(self, address: str, seed: int) -> None:
        self.connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=10)
        self.random = random.Random(seed)
        self.unpaid: list[int] = []

    def request(self) -> int:
        """One request; the status of its answer."""
        if self.unpaid and self.random.random() < 0.7:
            card = str(self.random.randrange(1000, 9999))
            return self._send("POST", f"/orders/{self.unpaid.pop()}/pay", {"card": card})[0]
        chance = self.random.random()
        if chance < 0.15:
            return self._send("GET", "/products")[0]
        if chance < 0.2:
            return self._send("GET", "/favicon.ico")[0]
        if chance < 0.25:
            return self._send("POST", "/orders", {"product": "säure ☂"})[0]
        product = self.random.choice(["tea", "coffee", "cocoa", "mate"])
        quantity = self.random.randint(1, 5)
        order = {"product": product, "quantity": quantity}
        status, answer = self._send("POST", "/orders", order)
        if status == 201:
            self.unpaid.append(answer["order"])
        return status

    def _send(self, method: str, path: str, body: object = None) -> tuple[int, dict[str, int]]:
        self.connection.request(method, path, json.dumps(body) if body else None)
        answer = self.connection.getresponse()
        return answer.status, json.load(answer)


def rush(customers: list[Customer], pause: float) -> Counter[int]:
    """A few hundred requests, all customers at once; the statuses of the answers."""

    interrupted = threading.Event()

    def shop(customer: Customer) -> list[int]:
        statuses: list[int] = []
        while len(statuses) < REQUESTS_EACH and not interrupted.wait(pause):
            statuses.append(customer.request())
        return statuses

    with ThreadPoolExecutor(len(customers)) as pool:
        try:
            return Counter(status for statuses in pool.map(shop, customers) for status in statuses)
        finally:
            interrupted.set()


class Tail:
    """`log-aggregator tail` in the terminal: all it says, or its first lines."""

    def __init__(self, endpoint: str, folder: Path, lines: int | None) -> None:
        self.lines_left = lines or 0
        self.shown = threading.Event()
        self.process = start(
            COMMAND,
            "tail",
            "--endpoint",
            endpoint,
            log=folder / "tail.stderr",
            # Without a pipe it writes to the terminal itself, in colours.
            output=subprocess.PIPE if lines else None,
        )
        self.thread = threading.Thread(target=self._show, daemon=True)
        if lines:
            self.thread.start()

    def _show(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            if self.lines_left > 0:
                print("  " + line.rstrip()[:110], flush=True)
                self.lines_left -= 1
                if self.lines_left == 0:
                    print("  ...", flush=True)
                    self.shown.set()

    def close(self) -> None:
        stop(self.process)
        if self.process.stdout:
            self.thread.join(timeout=5)
            self.process.stdout.close()


def demo(once: bool, stack: ExitStack) -> bool:
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="log-aggregator-demo-")))
    ledger = folder / "ledger.jsonl"
    base, stop_collector = stack.enter_context(
        server(
            "collector",
            *(COMMAND, "serve", "--listen", "127.0.0.1:0", "--store", f"sqlite:{folder}/logs.db"),
            folder=folder,
        )
    )
    endpoint = f"{base}/api/logs"
    print(f"collector  {endpoint}", flush=True)
    print(f"log page   {base}/", flush=True)
    tail = Tail(endpoint, folder, lines=12 if once else None)
    stack.callback(tail.close)
    service, stop_service = stack.enter_context(
        server(
            "service",
            *(sys.executable, ROOT / "examples" / "web_service.py"),
            *("--endpoint", endpoint, "--ledger", ledger),
            folder=folder,
        )
    )
    requests = CUSTOMERS * REQUESTS_EACH
    print(f"service    {service}, logging to the collector; now {requests} requests", flush=True)
    if not once:
        print("Ctrl-C ends it. Records as they arrive, by log-aggregator tail:", flush=True)
    customers = [Customer(service, seed) for seed in range(CUSTOMERS)]
    started = time.monotonic()
    statuses = rush(customers, pause=0 if once else 0.2)
    seconds = time.monotonic() - started
    while not once:
        random.choice(customers).request()
        time.sleep(0.5)

    stop_service()
    tail.shown.wait(timeout=10)
    fields = {"host": socket.gethostname(), "service": "shop", "environment": "demo"}
    result = audit(read_ledger(ledger), read_stored(endpoint), fields)
    stop_collector()
    answers = ", ".join(f"{count} × {status}" for status, count in sorted(statuses.items()))
    print(f"requests  {statuses.total():,} answered in {seconds:.1f} s: {answers}")
    print("\n".join(result.lines()))
    complete = statuses.total() == requests and tail.shown.is_set()
    if not tail.shown.is_set():
        print("          log-aggregator tail did not show them")
    return result.passed and complete


def main() -> int:
    parser = argparse.ArgumentParser(prog="./run demo", description=__doc__.splitlines()[0][12:])
    parser.add_argument("--once", action="store_true", help="end after the requests and check")
    once: bool = parser.parse_args().once
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    try:
        with ExitStack() as stack:
            passed = demo(once, stack)
    except KeyboardInterrupt:
        print("\nended; nothing is left behind")
        return 0 if not once else 130
    except (DemoError, OSError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    print(f"demo: {'passed' if passed else 'FAILED'}")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
