"""accelerate() with many threads that log and change everything about logging, and with forks."""

from __future__ import annotations

import collections
import json
import os
import random

import pytest

# Ours is the first handler of its logger: in logging itself, a handler behind one that is removed
# while a record is handed out may miss that record.
PROGRAM = """
import contextlib, json, logging, os, random, signal, sys, threading, warnings
from log_aggregator_handler import LogAggregatorHandler, accelerate, decelerate

ENDPOINT, SEED, THREADS, CALLS, FORKS = sys.argv[1], *map(int, sys.argv[2:])
warnings.filterwarnings("ignore", "This process", DeprecationWarning)
sys.setswitchinterval(1e-5)

class Other(logging.Handler):
    def emit(self, record):
        record.getMessage()


def make_handler():
    return LogAggregatorHandler(ENDPOINT, retry_delay=0.01, flush_interval=0.01, close_timeout=60)

parent, logger = logging.getLogger("shop"), logging.getLogger("shop.orders")
parent.setLevel(logging.INFO)
handler = make_handler()
logger.addHandler(handler)

def flip_handler(random):
    place = random.choice([logger, parent])
    other = random.choice([Other(), logging.NullHandler(), logging.NullHandler()])
    place.addHandler(other)
    yield
    place.removeHandler(other)

def flip_filter(random):
    place = random.choice([logger, handler])
    keep = lambda record: True
    place.addFilter(keep)
    yield
    place.removeFilter(keep)

def flip_level(random):
    random.choice([logger, parent]).setLevel(random.choice(["DEBUG", "INFO"]))
    handler.setLevel(random.choice(["DEBUG", "INFO"]))
    logging.disable(random.choice([0, 10]))
    yield

def flip_accelerate(random):
    random.choice([accelerate, accelerate, decelerate])()
    yield

def flip_method(random):
    logger.handle = logger.handle
    yield
    with contextlib.suppress(AttributeError):
        del logger.handle

FLIPS = [flip_handler, flip_filter, flip_level, flip_accelerate, flip_accelerate, flip_method]

def work(number):
    choice = random.Random(SEED * 1000 + number)
    undo = []
    for i in range(CALLS):
        if choice.random() < 0.1:
            flip = choice.choice(FLIPS)(choice)
            next(flip)
            undo.append(flip)
        way = choice.randrange(4)
        if way == 0:
            logger.info("%d %d", number, i)
        elif way == 1:
            logger.warning("%s %s", number, i, extra={"number": number, "i": [i]})
        elif way == 2:
            logger.log(30, f"{number} {i}", stacklevel=2)
        else:
            try:
                raise ValueError(number)
            except ValueError:
                logger.exception("%d %d", number, i)
        if undo and choice.random() < 0.6:
            next(undo.pop(0), None)
    for flip in undo:
        next(flip, None)

def child(fork):
    for i in range(5):
        logger.info("child%d %d", fork, i)
    os._exit(0 if handler.flush(30) else 1)

accelerate()
threads = [threading.Thread(target=work, args=(n,), name=f"t{n}") for n in range(THREADS)]
for thread in threads:
    thread.start()
statuses = []
for fork in range(FORKS):
    pid = os.fork()
    if pid == 0:
        signal.alarm(60)
        child(fork)
    statuses.append(os.waitpid(pid, 0)[1])
for thread in threads:
    thread.join()
accelerate()
flushed = handler.flush(60)
print(json.dumps({"stats": handler.stats(), "flushed": flushed, "children": statuses}))
"""


@pytest.mark.parametrize("forks", [0, 12], ids=["threads", "threads and forks"])
def test_64_threads_that_change_everything_lose_no_record_and_keep_their_order(
    run_python, log_api, forks
):
    threads, calls = 64, 150
    given = os.environ.get("LOG_AGGREGATOR_TEST_SEED")
    seed = int(given) if given else random.SystemRandom().randrange(1 << 32)
    print(f"LOG_AGGREGATOR_TEST_SEED={seed}")
    result = run_python(
        PROGRAM, log_api.endpoint, *map(str, (seed, threads, calls, forks)), timeout=100
    )
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    outcome = json.loads(result.stdout.splitlines()[-1])
    stats = outcome["stats"]
    print(stats["paths"])
    assert outcome["flushed"]
    assert outcome["children"] == [0] * forks
    assert stats["accepted"] == threads * calls == sum(stats["paths"].values())
    assert stats["accepted"] == stats["delivered"] + stats["pending"] + sum(
        stats["dropped"].values()
    )
    assert stats["delivered"] == threads * calls
    assert min(stats["paths"].values()) > 0
    arrived = collections.defaultdict(list)
    for record in log_api.records:
        thread, number = record["message"].split()
        arrived[thread].append(int(number))
        if not thread.startswith("child"):
            assert record["threadName"] == f"t{thread}"
    assert {thread: numbers for thread, numbers in arrived.items() if "child" in thread} == {
        f"child{n}": list(range(5)) for n in range(forks)
    }
    expected = {str(n): list(range(calls)) for n in range(threads)}
    assert {
        thread: arrived[thread] for thread in expected if arrived[thread] != expected[thread]
    } == {}
