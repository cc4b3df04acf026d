"""The collector is killed again and again in the middle of its transactions, under load.

Whatever it has acknowledged is stored, and nothing is stored twice, although its senders send again
what was not acknowledged. LOG_AGGREGATOR_SOAK_KILLS sets how often (a few times without it),
LOG_AGGREGATOR_TEST_SEED repeats the choices of an earlier run.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import sqlite3
import statistics
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import pytest

KILLS = int(os.environ.get("LOG_AGGREGATOR_SOAK_KILLS", "12"))
SENDERS = 4
JOURNALS = 2  # fewer than senders: the requests of one journal overtake each other
MAX_BATCH = 100
MAX_LIFE_S = 0.15  # of the collector under load, between a restart and the next kill
DEADLINE_S = 60.0

Number = tuple[str, int]  # a record: its journal, and its number there


@dataclass
class Journal:
    """The numbers of one journal, handed out to several senders."""

    uuid: str
    last: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, count: int) -> list[int]:
        with self.lock:
            self.last += count
            return list(range(self.last - count + 1, self.last + 1))


class Sender(threading.Thread):
    """Posts batches as fast as it can; sends again, cut in other ways, what has no answer."""

    def __init__(self, collector, journal: Journal, seed: int, stop: threading.Event) -> None:
        super().__init__()
        self.collector = collector
        self.journal = journal
        self.random = random.Random(seed)
        self.stop = stop
        self.pending: list[int] = []
        self.skipped: list[int] = []  # given up, but not yet acknowledged
        self.accepted: list[int] = []
        self.given_up: list[int] = []
        self.sent_again = 0
        self.duplicates = 0  # were committed by a collector that died before it answered
        self.error: BaseException | None = None
        self.connection: http.client.HTTPConnection | None = None

    def run(self) -> None:
        try:
            while self.pending or self.skipped or not self.stop.is_set():
                self.send_batch()
        except BaseException as error:
            self.error = error
        finally:
            self.disconnect()

    def send_batch(self) -> None:
        if not self.pending and not self.stop.is_set():
            self.pending = self.journal.take(self.random.randint(1, MAX_BATCH))
            if self.random.random() < 0.05:
                self.skipped.append(self.pending.pop())
        batch = self.pending[: self.random.randint(1, MAX_BATCH)]
        answer = self.post(batch)
        if answer is None:
            self.sent_again += len(batch)
            time.sleep(0.002)  # the collector is not there: leave the processor to its start
            return
        assert answer["stored"] + answer["duplicates"] == len(batch), answer
        self.duplicates += answer["duplicates"]
        self.pending = self.pending[len(batch) :]
        self.accepted += batch
        self.given_up += self.skipped
        self.skipped = []

    def post(self, batch: list[int]) -> dict | None:
        """The answer; None after which one sends again: there was none, or a 503."""
        headers = {
            "Content-Type": "application/x-ndjson",
            "Log-Aggregator-Journal": self.journal.uuid,
        }
        if batch:
            headers["Log-Aggregator-Sequence"] = ranges(batch)
        if self.skipped:
            headers["Log-Aggregator-Skipped"] = ranges(self.skipped)
        if not batch and not self.skipped:
            return {"stored": 0, "duplicates": 0}
        body = "".join(
            f'{{"message":"under load","journal":"{self.journal.uuid}","number":{number}}}\n'
            for number in batch
        )
        try:
            if self.connection is None:
                self.connection = http.client.HTTPConnection(
                    self.collector.host, self.collector.port, timeout=DEADLINE_S
                )
            self.connection.request("POST", "/api/logs", body, headers)
            response = self.connection.getresponse()
            answer = response.read()
        except (OSError, http.client.HTTPException):
            self.disconnect()
            return None
        if response.status == 503:
            return None
        assert response.status == 200, (response.status, answer)
        return json.loads(answer)

    def disconnect(self) -> None:
        if self.connection is not None:
            self.connection.close()
        self.connection = None


def ranges(numbers: Iterable[int]) -> str:
    found: list[list[int]] = []
    for number in sorted(numbers):
        if found and found[-1][1] + 1 == number:
            found[-1][1] = number
        else:
            found.append([number, number])
    return ",".join(f"{first}-{last}" for first, last in found)


def stored_numbers(collector) -> Iterator[Number]:
    before = ""
    while True:
        answer = collector.request("GET", f"/api/logs?limit=10000{before}")
        assert answer.status == 200, answer
        page = answer.json()
        yield from ((each["journal"], each["number"]) for each in page["records"])
        if page["next"] is None:
            return
        before = f"&before={page['next']}"


def wait_for_progress(senders: list[Sender]) -> None:
    """Until the collector has acknowledged something more."""
    before = sum(len(sender.accepted) for sender in senders)
    deadline = time.monotonic() + DEADLINE_S
    while sum(len(sender.accepted) for sender in senders) == before:
        assert all(sender.is_alive() for sender in senders), [sender.error for sender in senders]
        assert time.monotonic() < deadline, "the collector acknowledges nothing"
        time.sleep(0.001)


def kill_under_load(collector, senders: list[Sender], kills: int, seed: int) -> list[float]:
    """Kills and restarts the collector; returns how long it took each time until it worked again.

    That is the time from the kill to the first acknowledgement after it.
    """
    choices = random.Random(seed)
    recovered: list[float] = []
    wait_for_progress(senders)
    for _ in range(kills):
        time.sleep(choices.uniform(0, MAX_LIFE_S))
        killed = time.monotonic()
        collector.kill()
        collector.start()
        wait_for_progress(senders)
        recovered.append(time.monotonic() - killed)
    return recovered


def check_gaps(collector, journals: list[Journal], senders: list[Sender]) -> None:
    answer = collector.request("GET", "/api/gaps?all=1")
    assert answer.status == 200, answer
    listed = {each["journal"]: each for each in answer.json()["journals"]}
    assert set(listed) == {journal.uuid for journal in journals}
    for journal in journals:
        shown = listed[journal.uuid]
        of_journal = [sender for sender in senders if sender.journal is journal]
        assert shown["missing"] == []
        assert shown["last"] == journal.last
        assert shown["stored"] == sum(len(sender.accepted) for sender in of_journal)
        assert shown["skipped_count"] == sum(len(sender.given_up) for sender in of_journal)


def run_kills(collector, kills: int, seed: int) -> str:
    """Loads and kills the collector, checks what it has stored; returns the line of the run."""
    choices = random.Random(seed)
    journals = [
        Journal(str(uuid.UUID(int=choices.getrandbits(128), version=4))) for _ in range(JOURNALS)
    ]
    stop = threading.Event()
    senders = [
        Sender(collector, journals[i % JOURNALS], choices.getrandbits(32), stop)
        for i in range(SENDERS)
    ]
    for sender in senders:
        sender.start()
    try:
        recovered = kill_under_load(collector, senders, kills, choices.getrandbits(32))
    finally:
        stop.set()
        for sender in senders:
            sender.join(DEADLINE_S)
    assert [sender.error for sender in senders] == [None] * SENDERS
    assert not any(sender.is_alive() for sender in senders)
    # What counts is what another process finds on the disk.
    collector.kill()
    collector.start()

    accepted = {(sender.journal.uuid, n) for sender in senders for n in sender.accepted}
    stored = Counter(stored_numbers(collector))
    lost = accepted - stored.keys()
    twice = [number for number, count in stored.items() if count > 1]
    line = (
        f"collector kills={kills} seed={seed} accepted={len(accepted)} stored={stored.total()} "
        f"lost={len(lost)} twice={len(twice)} "
        f"sent_again={sum(sender.sent_again for sender in senders)} "
        f"duplicates={sum(sender.duplicates for sender in senders)} "
        f"given_up={sum(len(sender.given_up) for sender in senders)} "
        f"recovery p50={statistics.median(recovered):.3f} max={max(recovered):.3f}s"
    )
    assert not lost, line
    assert not twice, line
    assert stored.keys() == accepted, line
    check_gaps(collector, journals, senders)
    return line


@pytest.mark.timeout(120 + 5 * KILLS)
def test_a_collector_that_is_killed_in_transactions_loses_nothing_and_stores_nothing_twice(
    collector, capsys
):
    given = os.environ.get("LOG_AGGREGATOR_TEST_SEED")
    seed = int(given) if given else random.SystemRandom().randrange(1 << 32)
    print(f"LOG_AGGREGATOR_TEST_SEED={seed}")
    line = run_kills(collector, KILLS, seed)
    with capsys.disabled():
        print(f"\n{line}")
    assert collector.stop() == 0
    with sqlite3.connect(collector.store) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
