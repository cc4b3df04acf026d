"""python bench/startup.py SHIPPER URL SPOOL: what importing and constructing a handler costs.

In a program that has imported logging, as every one that logs. Prints one JSON object: the time,
and the memory that the process has more afterwards.
"""

import logging  # noqa: F401
import sys
import time

import peers


def resident_kib() -> int:
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))


resident_before, started = resident_kib(), time.perf_counter()
shipper = peers.build(*sys.argv[1:])
seconds = time.perf_counter() - started
resident = resident_kib() - resident_before
print(f'{{"ms": {seconds * 1e3:.3f}, "mib": {resident / 1024:.2f}}}')
shipper.finish()
