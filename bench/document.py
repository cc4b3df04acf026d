"""docs/performance.md and the figures it shows: docs/performance.json, and plots in docs/images.

In the document a table stands between two comments that name its group, and is replaced as a whole:

<!-- bench: caller -->
<!-- end of bench: caller -->
"""

import json
import re
import subprocess
from typing import Any

import tables
import verdicts
from processes import PYTHON, ROOT

DOCUMENT = ROOT / "docs" / "performance.md"
FIGURES = ROOT / "docs" / "performance.json"
IMAGES = ROOT / "docs" / "images"
BLOCK = re.compile(
    r"(<!-- bench: (?P<name>\w+) -->\n).*?(<!-- end of bench: (?P=name) -->)", re.DOTALL
)


def update(measured: dict[str, Any]) -> None:
    """The groups that were measured replace those of the last time; all follows from the JSON."""
    groups = json.loads(FIGURES.read_text()) if FIGURES.exists() else {}
    groups = {
        name: (groups | measured)[name] for name in tables.GROUPS if name in groups | measured
    }
    FIGURES.write_text(json.dumps(groups, indent=1) + "\n")
    DOCUMENT.write_text(with_tables(DOCUMENT.read_text(), groups))
    plots = ROOT / "bench" / "plots.py"
    subprocess.run([str(PYTHON), str(plots), str(FIGURES), str(IMAGES)], check=True)


def with_tables(document: str, groups: dict[str, Any]) -> str:
    """A group that was not measured leaves an empty place."""

    def table(match: re.Match[str]) -> str:
        text = "\n".join(block_lines(match["name"], groups))
        fenced = f"```text\n{text}\n```\n" if text else ""
        return match[1] + fenced + match[3]

    return BLOCK.sub(table, document)


def block_lines(name: str, groups: dict[str, Any]) -> list[str]:
    if name == "goals":
        return list(verdicts.goals(groups))
    if name == "better":
        return list(verdicts.better(groups))
    if name == "versions":
        groups = {name: group for name, group in groups.items() if name not in tables.ALONE}
        return sorted({tables.versions_line(group["conditions"]) for group in groups.values()})
    return list(tables.group_lines(name, groups[name])) if name in groups else []
