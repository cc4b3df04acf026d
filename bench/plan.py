"""What a group of ./run bench is told, and the loop that all groups measure by."""

import statistics
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Figures = dict[str, float]


@dataclass(frozen=True)
class Plan:
    quick: bool = False
    missing: dict[str, str] = field(default_factory=dict)
    """The variants that cannot be measured here, and why."""
    lines: Path | None = None
    """Where the messages of the group `lines` come from; else they are generated."""

    def present(self, names: Iterable[str]) -> list[str]:
        return [name for name in names if name not in self.missing]

    def pick(self, quick: int, full: int) -> int:
        return quick if self.quick else full


def in_turns(
    names: Iterable[str], rounds: int, measure: Callable[[str], dict[str, Any]]
) -> dict[str, list[dict[str, Any]]]:
    """Each name once a round, so that drift of the machine meets all alike."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for number in range(rounds):
        for name, runs in found.items():
            progress(f"round {number + 1} of {rounds}: {name}")
            runs.append(measure(name))
    return found


def medians(runs: list[dict[str, Any]]) -> dict[str, Figures]:
    """Each figure's median over the runs, with the least and the most."""
    return {name: spread([run[name] for run in runs]) for name in runs[0]}


def spread(values: list[float]) -> Figures:
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def progress(text: str) -> None:
    """On one line of the terminal that the next overwrites; nothing where it is no terminal."""
    if sys.stderr.isatty():
        print(f"\r\033[K  {text}", end="", file=sys.stderr, flush=True)


def progress_ends() -> None:
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr, flush=True)
