"""What an application under test tells the harness: a file mapped by both, which outlives SIGKILL.

The words of the file are unsigned, of 64 bits:

    phase, stop, ready, hung, died      the header; the harness writes the first two
    returned[writers]                   of each writer, how many of its log calls have returned
    histogram[threads][phases][buckets] how long the calls took, a thread each: no two write one

A writer is one thread of one process, and its number is never used again in a run. A bucket holds
durations within 1/16 of each other. Only the standard library is needed: applications of the peers
run in an environment that has nothing of ours.
"""

from __future__ import annotations

import mmap
import os
from pathlib import Path

PHASE, STOP, READY, HUNG, DIED = range(5)
HEADER_WORDS = 8
PHASES = 3
HEALTHY, OUTAGE, RECOVERY = range(PHASES)
BUCKETS = 640  # up to 2^43 ns
WORD_BYTES = 8


def bucket_of(duration_ns: int) -> int:
    """Of at least 16 ns. The application's loop has a copy of this, without the call."""
    size = duration_ns.bit_length()
    return (size - 4) * 16 + ((duration_ns >> (size - 5)) & 15)


def bucket_end_ns(bucket: int) -> int:
    """The longest duration that a bucket holds."""
    size = bucket // 16 + 4
    return ((16 + bucket % 16 + 1) << (size - 5)) - 1


class Acks:
    """The file, mapped. `words` is for the loop that logs; everything else is for reading."""

    def __init__(self, path: Path, writers: int, threads: int) -> None:
        """Makes the file where there is none, of zeros: it takes the space that is written."""
        self.writers = writers
        self.threads = threads
        size = (HEADER_WORDS + writers + threads * PHASES * BUCKETS) * WORD_BYTES
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            os.ftruncate(descriptor, size)
            self._map = mmap.mmap(descriptor, size)
        finally:
            os.close(descriptor)
        self.words = memoryview(self._map).cast("Q")

    def slot(self, writer: int) -> int:
        """Where the number of a writer's returned calls stands."""
        if writer >= self.writers:
            raise IndexError(f"writer {writer} of {self.writers}")
        return HEADER_WORDS + writer

    def histogram(self, thread: int) -> int:
        """Where a thread's histograms begin."""
        if thread >= self.threads:
            raise IndexError(f"thread {thread} of {self.threads}")
        return HEADER_WORDS + self.writers + thread * PHASES * BUCKETS

    def returned(self) -> list[int]:
        """Of each writer, how many of its calls have returned."""
        return self.words[HEADER_WORDS : HEADER_WORDS + self.writers].tolist()

    def durations(self, phase: int) -> list[int]:
        """How many calls of all threads fell into each bucket while it was `phase`."""
        total = [0] * BUCKETS
        for thread in range(self.threads):
            begin = self.histogram(thread) + phase * BUCKETS
            for bucket, count in enumerate(self.words[begin : begin + BUCKETS]):
                total[bucket] += count
        return total

    def close(self) -> None:
        self.words.release()
        self._map.close()


def quantile_us(durations: list[int], quantile: float) -> float | None:
    """At most 1/16 too long. None where nothing was measured."""
    left = sum(durations) * quantile
    if left == 0:
        return None
    for bucket, count in enumerate(durations):
        left -= count
        if count and left <= 1e-9:
            return bucket_end_ns(bucket) / 1000
    raise AssertionError("the counts of the buckets are their sum")
