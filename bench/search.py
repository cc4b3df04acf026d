"""The group `search` of ./run bench: a store of a million records, searched and followed.

Its records are made of log lines, as those of the group `lines`, with levels, loggers, hosts and
extra fields in the proportions that services have.
"""

import tempfile
from typing import Any

from delivery import make_lines, read_lines
from plan import Plan, progress
from processes import ROOT, collector, process_usage, run_alone

MIB = 1 << 20
TAILS = 200


def measure(plan: Plan) -> dict[str, Any]:
    texts = read_lines(plan.lines) if plan.lines else make_lines()
    with (
        tempfile.NamedTemporaryFile("w", prefix="bench-", dir=ROOT / "build") as file,
        collector() as (url, pid),
    ):
        file.write("\n".join(texts) + "\n")
        file.flush()

        def run(workload: str, **options: Any) -> dict[str, Any]:
            progress(f"search: {workload}")
            words = [word for name, value in options.items() for word in (f"--{name}", value)]
            arguments = (workload, "--endpoint", url, "--path", file.name, *words)
            return run_alone(*arguments, program="search_workloads.py")

        stored = run("fill", records=plan.pick(100_000, 1_000_000))["records"]
        asked = run("ask", rounds=plan.pick(20, 200))
        cpu_before, before = process_usage(pid)
        followed = run("follow", tails=TAILS, seconds=plan.pick(5, 30))
        cpu, peak = process_usage(pid)
    return {
        "source": f"from {plan.lines.name}" if plan.lines else "generated",
        "records": stored,
        "asked": asked,
        "followed": followed
        | {"cpu_s": cpu - cpu_before, "peak_mib": peak / MIB, "peak_before_mib": before / MIB},
    }
