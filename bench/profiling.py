"""./run bench --profile: the functions in which a log call spends its thread's time.

The extension is built once more, in build/profile, as in a release but with symbols. `perf` samples
a process that logs; where perf is missing or forbidden, valgrind's callgrind counts instructions
instead. Both work without privileges; docs/performance.md says how to read the tables.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from peers import LABELS
from processes import PYTHON, ROOT, SINK, run_workload, server

BUILD = ROOT / "build" / "profile"
PACKAGE = BUILD / "package"
VARIANTS = ("null", "ours", "accelerated")
ROWS = 25
SAMPLES_A_SECOND = 4_999
SECONDS = 5
CALLS_COUNTED = 50_000  # by callgrind, which takes some hundred times as long


def run() -> int:
    missing = run_workload("missing")
    build()
    by_perf = perf_works()
    if not by_perf and not shutil.which("valgrind"):
        sys.exit(
            "perf is missing or forbidden, valgrind missing: apt-get install linux-perf valgrind"
        )
    for name in VARIANTS:
        if name in missing:
            print(f"\n{LABELS[name]}: left out: {missing[name]}")
            continue
        with server(SINK) as (url, _), tempfile.TemporaryDirectory() as folder:
            if by_perf:
                sample(name, url, Path(folder))
            else:
                count(name, url, Path(folder))
    return 0


def build() -> None:
    print("Building the extension with symbols, in build/profile.", file=sys.stderr)
    configure = [
        *("cmake", "-G", "Ninja", "-S", ROOT, "-B", BUILD, "-DCMAKE_BUILD_TYPE=RelWithDebInfo"),
        "-DCMAKE_CXX_FLAGS_RELWITHDEBINFO=-O3 -DNDEBUG -g",
        *("-DLOG_AGGREGATOR_PYTHON=ON", "-DLOG_AGGREGATOR_COMMAND=OFF"),
        f"-DPython_EXECUTABLE={sys.executable}",
    ]
    for command in (configure, ["cmake", "--build", BUILD, "--target", "log_aggregator_core"]):
        subprocess.run(list(map(str, command)), check=True, stdout=subprocess.DEVNULL)
    package = PACKAGE / "log_aggregator_handler"
    shutil.rmtree(package, ignore_errors=True)
    shutil.copytree(ROOT / "python" / "log_aggregator_handler", package)
    for module in (BUILD / "python").glob("_core*.so"):
        shutil.copy(module, package)


def workload(name: str, url: str, calls: int = 0) -> list[str]:
    command = [PYTHON, ROOT / "bench" / "workloads.py", "profiled", "--endpoint", url]
    return list(map(str, [*command, "--shipper", name, "--seconds", SECONDS, "--records", calls]))


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(PACKAGE)}


def heading(name: str, ns: float) -> str:
    return (
        f"\n{LABELS[name]}, two arguments, two extras: {ns:,.0f} ns of its thread's CPU time a call"
    )


# ---- perf


def perf_works() -> bool:
    if not shutil.which("perf"):
        return False
    with tempfile.NamedTemporaryFile() as file:
        command = [
            "perf",
            "record",
            "-o",
            file.name,
            "--",
            sys.executable,
            "-c",
            "sum(range(10**6))",
        ]
        done = subprocess.run(command, capture_output=True, check=False)
        return done.returncode == 0 and any(samples(file.name))


def sample(name: str, url: str, folder: Path) -> None:
    data = str(folder / "perf.data")
    # By the clock that the workload says when it began by.
    record = ["perf", "record", "-q", "-k", "CLOCK_MONOTONIC", "-F", str(SAMPLES_A_SECOND)]
    record += ["-o", data, "--"]
    done = subprocess.run(
        record + workload(name, url), env=environment(), stdout=subprocess.PIPE, check=True
    )
    found = json.loads(done.stdout)
    counts = Counter(
        place for thread, place in samples(data, found["began_s"]) if thread == found["thread"]
    )
    total = counts.total()
    print(heading(name, found["call_ns"]))
    print(f"  by perf, {total:,} samples of that thread at {SAMPLES_A_SECOND} Hz\n")
    print(f"  {'ns':>6}{'%':>7}  function, object")
    for (function, file), samples_there in counts.most_common(ROWS):
        share = samples_there / total
        print(f"  {found['call_ns'] * share:6.0f}{share:7.1%}  {function[:90]}  {file}")
    print("\n  by object")
    objects: Counter[str] = Counter()
    for (_, file), samples_there in counts.items():
        objects[file] += samples_there
    for file, samples_there in objects.most_common(6):
        share = samples_there / total
        print(f"  {found['call_ns'] * share:6.0f}{share:7.1%}  {file}")
    sys.stdout.flush()


def samples(data: str, since_s: float = 0.0) -> Iterator[tuple[int, tuple[str, str]]]:
    """Of each sample the thread, and the function with its object."""
    command = ["perf", "script", "-i", data, "-F", "tid,time,ip,sym,dso"]
    text = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    for line in text.splitlines():
        #   4711 123.456789:     7f00deadbeef function(arguments) (/path/of/object)
        thread, time, rest = line.split(None, 2)
        if float(time.rstrip(":")) < since_s:
            continue
        function, _, path = rest.split(None, 1)[1].rpartition(" (")
        yield int(thread), (function, Path(path.rstrip(")")).name)


# ---- callgrind


def count(name: str, url: str, folder: Path) -> None:
    valgrind = ["valgrind", "--quiet", "--tool=callgrind", "--separate-threads=yes"]
    valgrind.append(f"--callgrind-out-file={folder}/calls")
    done = subprocess.run(
        valgrind + workload(name, url, CALLS_COUNTED),
        env=environment(),
        stdout=subprocess.PIPE,
        check=True,
    )
    found = json.loads(done.stdout)
    print(heading(name, found["call_ns"]).replace("ns of", "ns under valgrind of"))
    print("  perf is missing or forbidden here: instructions of that thread, by callgrind, in")
    print(f"  {CALLS_COUNTED:,} calls and what comes before them\n")
    first_thread = min(folder.glob("calls*-01"))
    annotate = ["callgrind_annotate", "--threshold=90", str(first_thread)]
    text = subprocess.run(annotate, capture_output=True, text=True, check=True).stdout
    rows = [line for line in text.splitlines() if "%)" in line and "PROGRAM" not in line]
    print("\n".join(f"  {row}" for row in rows[:ROWS]), flush=True)
