"""The measured programs of search.py, each run in a process that it has to itself.

python bench/search_workloads.py WORKLOAD ..., see main(). Each prints one JSON object.
"""

import argparse
import http.client
import json
import multiprocessing
import random
import re
import statistics
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

RATE = 5_000  # records a second, of goals and of this group's titles
BATCH = 250
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
SHARES = (20, 70, 7, 2.9, 0.1)
SEVERE = ("WARNING", "ERROR", "CRITICAL")  # what half of the tails show
LOGGERS = ("app.web", "app.db", "app.cache", "app.auth", "app.jobs")
NOW = b"(now)"  # stands for the time in what is to be posted
STAMP = b'"timestamp": "'
RESULTS = 100  # the newest so many are asked for


class Source:
    """Records as services write them: of given lines, seeded."""

    def __init__(self, path: str, seed: int) -> None:
        self.lines = Path(path).read_text(errors="replace").splitlines()
        self.random = random.Random(seed)

    def record(self) -> dict[str, Any]:
        chance = self.random
        return {
            "timestamp": NOW.decode(),
            "level": chance.choices(LEVELS, SHARES)[0],
            "message": chance.choice(self.lines),
            "host": f"web-{chance.randrange(20)}",
            "host_process": "app",
            "logger_name": chance.choice(LOGGERS),
            "module": "views",
            "filename": "views.py",
            "funcName": "get",
            "threadName": "MainThread",
            "lineno": chance.randrange(500),
            "process": 4242,
            "thread": 140_000_000_000,
            "extra": {
                "user_id": chance.randrange(100_000),
                "request_id": f"{chance.getrandbits(64):016x}",
            },
        }

    def body(self, records: int) -> bytes:
        """As lines, whose time is NOW until it is known."""
        return b"".join(json.dumps(self.record()).encode() + b"\n" for _ in range(records))


class Poster:
    def __init__(self, endpoint: str) -> None:
        self.connection = http.client.HTTPConnection(urlsplit(endpoint).netloc, timeout=60)

    def post(self, body: bytes) -> None:
        now = datetime.now(timezone.utc).isoformat(timespec="microseconds").encode()
        body = body.replace(NOW, now)
        headers = {"Content-Type": "application/x-ndjson"}
        self.connection.request("POST", "/api/logs", body, headers)
        answer = self.connection.getresponse()
        text = answer.read()
        if answer.status != 200:
            sys.exit(f"the collector answered {answer.status} {text[:200]!r}")


def fill(endpoint: str, path: str, records: int) -> dict[str, Any]:
    """Stores so many; nothing of it is a measurement."""
    poster, source = Poster(endpoint), Source(path, seed=1)
    for _ in range(records // 1000):
        poster.post(source.body(1000))
    return {"records": records // 1000 * 1000}


class Stream(threading.Thread):
    """Posts RATE records a second from now on until it is told to stop: the same 20,000 again."""

    def __init__(self, endpoint: str, path: str) -> None:
        super().__init__()
        source = Source(path, seed=2)
        self.bodies = [source.body(BATCH) for _ in range(80)]
        self.poster = Poster(endpoint)
        self.stopped = threading.Event()
        self.posted = self.severe = 0
        self.started = time.perf_counter()
        self.start()

    def run(self) -> None:
        while not self.stopped.is_set():
            body = self.bodies[self.posted // BATCH % len(self.bodies)]
            due = self.started + self.posted / RATE
            self.stopped.wait(max(0.0, due - time.perf_counter()))
            self.poster.post(body)
            self.posted += BATCH
            self.severe += sum(body.count(b'"level": "%s"' % name.encode()) for name in SEVERE)

    def stop(self) -> float:
        """The rate that was had."""
        self.stopped.set()
        self.join()
        return self.posted / (time.perf_counter() - self.started)


# ---- searching


def queries(path: str) -> dict[str, str]:
    """By kind, chosen by how often words come in the lines."""
    lines = Path(path).read_text(errors="replace").splitlines()
    word = r"(?<![^\W_])[a-z]{4,}(?![^\W_])"
    words = Counter(found for line in lines for found in set(re.findall(word, line)))
    ranked = [found for found, _ in words.most_common()]
    pairs = Counter(found for line in lines for found in set(re.findall(f"{word} {word}", line)))
    middle = max(len(lines) // 100, 1)
    phrase = min(pairs, key=lambda pair: (abs(pairs[pair] - middle), pair))
    return {
        "a common word": ranked[0],
        "a rare word": ranked[-1],
        "a common phrase": f'"{pairs.most_common(1)[0][0]}"',
        "a phrase": f'"{phrase}"',
        "two words": f"{ranked[0]} {ranked[1]}",
        "a word, without another": f"{ranked[0]} -{ranked[1]}",
        "a word of errors": f"{ranked[0]} level>=ERROR",
        "critical ones": "level>=CRITICAL",
        "an extra field": "user_id=4711",
        "nothing that is there": "xyzzyplugh",
    }


def ask(endpoint: str, path: str, rounds: int) -> dict[str, Any]:
    """Milliseconds of a query for the newest RESULTS, while RATE records a second come in."""
    connection = http.client.HTTPConnection(urlsplit(endpoint).netloc, timeout=60)
    kinds = queries(path)
    found: dict[str, list[float]] = {kind: [] for kind in kinds}
    sizes: dict[str, int] = {}
    stream = Stream(endpoint, path)
    for _ in range(rounds):
        for kind, query in kinds.items():
            started = time.perf_counter()
            connection.request("GET", f"/api/logs?limit={RESULTS}&query={quote(query)}")
            answer = connection.getresponse()
            text = answer.read()
            found[kind].append(1e3 * (time.perf_counter() - started))
            if answer.status != 200:
                sys.exit(f"{query}: {answer.status} {text[:200]!r}")
            sizes[kind] = len(json.loads(text)["records"])
            time.sleep(0.02)
    return {
        "rate": stream.stop(),
        "kinds": {
            kind: {
                "records": sizes[kind],
                "median_ms": statistics.median(times),
                "p95_ms": statistics.quantiles(times, n=20)[-1],
                "max_ms": max(times),
            }
            for kind, times in found.items()
        },
    }


# ---- following


def follow_some(endpoint: str, count: int, results: Any) -> None:
    """In a process of its own: so many tails, to the record that says the end."""
    tails = [Tail(endpoint, "level>=WARNING" if i % 2 else "") for i in range(count)]
    results.put("ready")
    for tail in tails:
        tail.join()
    results.put([(tail.query, tail.shown, tail.missed, tail.delays_ms) for tail in tails])


class Tail(threading.Thread):
    """Counts what one stream shows; the time on the way is taken of a few."""

    def __init__(self, endpoint: str, query: str) -> None:
        super().__init__(daemon=True)
        self.query = query
        self.connection = http.client.HTTPConnection(urlsplit(endpoint).netloc, timeout=60)
        self.connection.request("GET", f"/api/logs/stream?query={quote(query)}")
        self.response = self.connection.getresponse()
        self.shown = self.missed = 0
        self.delays_ms: list[float] = []
        self.start()

    def run(self) -> None:
        text, ended = b"", False
        while not ended:
            text += self.response.read1(1 << 18)
            whole = text.rfind(b"\n\n") + 2
            self.take_time(text, whole)
            self.shown += text.count(b'\ndata: {"id":', 0, whole)
            if b"\nevent: missed" in text:  # a regular expression takes longer to find nothing
                missed = re.findall(rb'\ndata: \{"missed":(\d+)', text[:whole])
                self.missed += sum(map(int, missed))
            ended = b'"message": "the end"' in text
            text = text[whole:]

    def take_time(self, text: bytes, end: int) -> None:
        """Of the newest record that has just come."""
        stamp = text.rfind(STAMP, 0, end)
        if stamp < 0:
            return
        sent = datetime.fromisoformat(text[stamp + len(STAMP) : stamp + len(STAMP) + 32].decode())
        self.delays_ms.append((datetime.now(timezone.utc) - sent).total_seconds() * 1e3)


def follow(endpoint: str, path: str, tails: int, seconds: float) -> dict[str, Any]:
    """What so many tails are shown while RATE records a second come in."""
    processes = 2
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    workers = [
        context.Process(target=follow_some, args=(endpoint, tails // processes, results))
        for _ in range(processes)
    ]
    for worker in workers:
        worker.start()
    for _ in workers:
        results.get()
    stream = Stream(endpoint, path)
    time.sleep(seconds)
    rate = stream.stop()
    end = {"message": "the end", "level": "CRITICAL", "timestamp": NOW.decode()}
    stream.poster.post(json.dumps(end).encode() + b"\n")
    found = [tail for _ in workers for tail in results.get()]
    for worker in workers:
        worker.join()
    sums = {(query, shown + missed) for query, shown, missed, _ in found}
    if sums != {("", stream.posted + 1), ("level>=WARNING", stream.severe + 1)}:
        sys.exit(f"of {stream.posted} and {stream.severe} records tails were shown or told {sums}")
    delays = sorted(delay for *_, delays in found for delay in delays)
    return {
        "rate": rate,
        "tails": len(found),
        "records": stream.posted + 1,
        "severe": stream.severe + 1,
        "missed": sum(missed for *_, missed, _ in found),
        "delay_median_ms": statistics.median(delays),
        "delay_p95_ms": delays[len(delays) * 95 // 100],
    }


def main() -> None:
    known: dict[str, Callable[..., Any]] = {work.__name__: work for work in (fill, ask, follow)}
    parser = argparse.ArgumentParser()
    parser.add_argument("workload", choices=list(known))
    parser.add_argument("--endpoint", required=True, help="http://HOST:PORT")
    parser.add_argument("--path", required=True, help="the lines that records are made of")
    for name in ("records", "rounds", "tails"):
        parser.add_argument(f"--{name}", type=int)
    parser.add_argument("--seconds", type=float)
    options = vars(parser.parse_args())
    workload = known[options.pop("workload")]
    given = {name: value for name, value in options.items() if value is not None}
    print(json.dumps(workload(**given)))


if __name__ == "__main__":
    main()
