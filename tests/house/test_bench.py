"""./run bench writes its tables right, and docs/performance.md shows what its figures say."""

import json
import re
import subprocess
import sys
from pathlib import Path

import document
import tables
import verdicts

ROOT = Path(__file__).resolve().parents[2]
BENCH = [sys.executable, ROOT / "bench" / "bench.py"]

CONDITIONS = {
    "date": "2026-01-02T03:04:05+00:00",
    "quick": False,
    "cpu": "a processor",
    "cores": 2,
    "kernel": "6.1",
    "python": "3.11.2",
    "versions": {"log-aggregator-handler": "0.1.0", "peer": "1.2"},
    "load_at_start": 0.5,
    "missing": {"accelerated": "not here"},
}


def spread(median):
    return {"median": median, "min": median - 1, "max": median + 1}


def kinds(plain):
    return {
        "plain": spread(plain),
        "extras": spread(plain * 2),
        "disabled": spread(100),
        "loop": spread(10),
        "exception": spread(plain * 10),
    }


CALLER = {
    "conditions": CONDITIONS,
    "found": {"null": kinds(4000), "stream": kinds(8000), "ours": kinds(4400)},
}
COLLECTOR = {
    "conditions": CONDITIONS,
    "found": {
        name: {
            "records": spread(400_000),
            "records_per_s": spread(rate),
            "record_bytes": spread(430.0),
            "cpu_s_per_million": spread(14.2),
            "peak_mib": spread(20.9),
        }
        for name, rate in (("with full text", 29_000.2), ("without", 58_000.4))
    },
}


def bench(*options):
    done = subprocess.run(
        [*BENCH, *options], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_table_holds_figures_spread_ratios_and_conditions():
    lines = list(tables.group_lines("caller", CALLER))
    assert lines[0] == (
        "a processor, 2 cores, Linux 6.1, CPython 3.11.2, 2026-01-02T03:04:05+00:00,"
        " load at the start 0.5"
    )
    (row,) = (line for line in lines[:8] if line.startswith("  ours"))
    figures = "ours 4,400 4,399–4,401 1.10 8,800 8,799–8,801 1.10 100"
    assert row.split() == figures.split()
    assert lines[-1] == "  left out: ours, accelerated: not here"


def test_a_goal_is_met_or_not_or_not_measured():
    goals = "\n".join(verdicts.goals({"caller": CALLER}))
    assert re.search(r"plain call × NullHandler +≤ 1.12 +1.1 +met$", goals, re.MULTILINE)
    assert re.search(r"exception, plain, × .* +≤ 0.3 +0.55 +NOT MET$", goals, re.MULTILINE)
    assert re.search(r"accelerated × NullHandler +≤ 0.06 +– +not measured$", goals, re.MULTILINE)


def test_a_goal_of_calls_from_cpp_takes_off_what_the_clock_takes():
    calls = {"clock": {"p50_ns": 30.0}, "null": {"p50_ns": 80.0}, "ours": {"p50_ns": 105.0}}
    assert verdicts.net_ratio("ours", "null")({"call": calls}) == 1.5
    assert verdicts.figure(verdicts.net_ratio("ours", "clock")({"call": calls})) == "∞"


def test_the_writer_replaces_a_table_and_nothing_else():
    text = (
        "# Title\n\n<!-- bench: collector -->\nold\n<!-- end of bench: collector -->\n\nbetween\n\n"
        "<!-- bench: cpp -->\nold\n<!-- end of bench: cpp -->\nafter\n"
    )
    written = document.with_tables(text, {"collector": COLLECTOR})
    table = "\n".join(tables.group_lines("collector", COLLECTOR))
    assert written == (
        f"# Title\n\n<!-- bench: collector -->\n```text\n{table}\n```\n"
        "<!-- end of bench: collector -->\n\nbetween\n\n"
        "<!-- bench: cpp -->\n<!-- end of bench: cpp -->\nafter\n"
    )
    assert document.with_tables(written, {"collector": COLLECTOR}) == written


def test_the_document_shows_what_its_figures_say():
    text, groups = document.DOCUMENT.read_text(), json.loads(document.FIGURES.read_text())
    assert set(groups) == set(tables.GROUPS)
    assert text == document.with_tables(text, groups)
    assert {match["name"] for match in document.BLOCK.finditer(text)} >= set(groups)


def test_the_document_shows_every_plot():
    shown = set(re.findall(r"\]\(images/(bench-[\w-]+\.svg)\)", document.DOCUMENT.read_text()))
    assert shown == {path.name for path in document.IMAGES.glob("bench-*.svg")}
    assert shown


def test_a_group_is_measured_written_and_read_again(tmp_path):
    figures = tmp_path / "figures.json"
    printed = bench("--only", "collector", "--quick", "--json", figures)
    group = json.loads(figures.read_text())["collector"]
    assert group["found"]["without"]["records"]["median"] == 100_000
    assert "\n".join(tables.group_lines("collector", group)) in printed
    assert bench("--from", figures) == printed
