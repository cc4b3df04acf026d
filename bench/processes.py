"""What the groups of ./run bench share: the servers and the measured programs, as processes.

Python programs that compare run in an environment of their own, build/bench-python, which holds the
peers of requirements.txt and sees the package of .venv.
"""

import hashlib
import json
import os
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "release" / "bench"
SINK = BUILD / "log_aggregator_sink"
COLLECTOR = Path(sys.executable).with_name("log-aggregator")
ENVIRONMENT = ROOT / "build" / "bench-python"
PYTHON = ENVIRONMENT / "bin" / "python"
PROGRAM_TIMEOUT_S = 600  # many times what the longest takes on an idle machine
REQUIREMENTS = ROOT / "bench" / "requirements.txt"


def make_environment() -> None:
    """Once, and again when the requirements or the interpreter change."""
    stamp = ENVIRONMENT / "requirements.sha256"
    wanted = hashlib.sha256(REQUIREMENTS.read_bytes() + sys.version.encode()).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted:
        return
    print("Setting up build/bench-python, once: about 60 MB from PyPI.", file=sys.stderr)
    make = [sys.executable, "-m", "venv", "--clear", ENVIRONMENT]
    install = [PYTHON, "-m", "pip", "install", "--quiet", "-r", REQUIREMENTS]
    for command in (make, install):
        if subprocess.run(list(map(str, command)), check=False).returncode != 0:
            sys.exit("build/bench-python could not be made")
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(ENVIRONMENT)}))
    # After its own packages: the peers' dependencies are those that were installed with them.
    (packages / "project.pth").write_text(sysconfig.get_path("platlib") + "\n")
    stamp.write_text(wanted)


def peer_versions() -> dict[str, str]:
    """Of what requirements.txt names, where it is installed."""
    listed = subprocess.run(
        [str(PYTHON), "-m", "pip", "list", "--format=json"], capture_output=True, check=True
    )
    names = [line.split("==")[0] for line in REQUIREMENTS.read_text().splitlines() if "==" in line]
    versions = {each["name"]: each["version"] for each in json.loads(listed.stdout)}
    return {name: versions[name] for name in names if name in versions}


@contextmanager
def server(*command: str | Path) -> Iterator[tuple[str, int]]:
    """A server that prints `listening on URL`; its URL and process id."""
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, text=True)
    assert process.stdout
    try:
        line = process.stdout.readline()
        if not line.startswith("listening on "):
            sys.exit(f"{command[0]} did not start")
        yield line.split()[-1], process.pid
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


@contextmanager
def collector(*options: str) -> Iterator[tuple[str, int]]:
    with (
        tempfile.TemporaryDirectory(prefix="bench-", dir=ROOT / "build") as folder,
        server(
            *(COLLECTOR, "serve", "--listen", "127.0.0.1:0", "--store", f"sqlite:{folder}/logs.db"),
            *options,
        ) as found,
    ):
        yield found


def run_workload(*arguments: object, program: str = "workloads.py") -> dict[str, Any]:
    return run_program(PYTHON, ROOT / "bench" / program, *arguments)


def run_alone(*arguments: object, program: str = "workloads.py") -> dict[str, Any]:
    """A workload with no peer to be compared with: it needs no other environment than ours."""
    return run_program(sys.executable, ROOT / "bench" / program, *arguments)


def run_program(*command: object, environment: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The JSON object that it prints."""
    words = list(map(str, command))
    try:
        done = subprocess.run(
            words,
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
            check=False,
            timeout=PROGRAM_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        sys.exit(f"{' '.join(words)} did not end")
    if done.returncode != 0:
        sys.exit(f"{' '.join(words)} failed with {done.returncode}")
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def read_stats(url: str) -> dict[str, int]:
    """What was posted to the sink since the last call."""
    with urlopen(f"{url}/stats", timeout=10) as answer:
        stats: dict[str, int] = json.load(answer)
    return stats


def process_usage(pid: int) -> tuple[float, int]:
    """CPU seconds and peak bytes of another process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    ticks = int(fields[11]) + int(fields[12])
    status = Path(f"/proc/{pid}/status").read_text()
    peak = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return ticks / os.sysconf("SC_CLK_TCK"), int(peak.split()[1]) * 1024
