"""The group `start` of ./run bench: what importing and constructing a handler costs a program.

Ours also from the wheel that ./run wheel has built for this Python, if there is one: what is linked
into it need not be found and loaded.
"""

import sys
import tempfile
import zipfile
from typing import Any

from delivery import run_startup
from plan import Plan, in_turns, medians
from processes import ROOT

STARTING = ("opentelemetry", "ours", "accelerated")
FROM_WHEEL = "wheel, "  # before a name


def measure(plan: Plan) -> dict[str, Any]:
    tag = f"cp{sys.version_info.major}{sys.version_info.minor}"
    wheels = sorted((ROOT / "dist").glob(f"*-{tag}-*.whl"))
    with tempfile.TemporaryDirectory(prefix="bench-", dir=ROOT / "build") as folder:
        names = plan.present(STARTING)
        if wheels:
            with zipfile.ZipFile(wheels[-1]) as wheel:
                wheel.extractall(folder)
            names += [FROM_WHEEL + name for name in names if name != "opentelemetry"]
        rounds = plan.pick(5, 25)
        return {
            name: medians(runs)
            for name, runs in in_turns(names, rounds, lambda name: start(name, folder)).items()
        }


def start(name: str, unpacked: str) -> dict[str, Any]:
    package = unpacked if name.startswith(FROM_WHEEL) else ""
    return run_startup(name.removeprefix(FROM_WHEEL), package)
