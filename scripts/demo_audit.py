"""Compares what an application logged with what the collector stored, record by record.

The ledger is examples/web_service.py's: one JSON object a line. Records are told apart by
`extra.event`, which the service numbers. What the collector stored is read from its own API.
"""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

Record = dict[str, Any]

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


@dataclass
class Audit:
    logged: int
    stored: int
    levels: Counter[str]
    exceptions: int
    missing: list[int] = field(default_factory=list)
    repeated: list[int] = field(default_factory=list)
    unknown: list[Any] = field(default_factory=list)
    different: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        faults = self.missing or self.repeated or self.unknown or self.different
        return self.logged > 0 and not faults

    def lines(self) -> Iterator[str]:
        levels = ", ".join(f"{self.levels[level]:,} {level}" for level in LEVELS)
        yield f"logged    {self.logged:,} records: {levels}; {self.exceptions:,} with a traceback"
        yield (
            f"stored    {self.stored:,} records: {len(self.missing)} missing, "
            f"{len(self.repeated)} twice, {len(self.unknown)} unknown, "
            f"{len(self.different)} with a field that differs"
        )
        for name in ("missing", "repeated", "unknown", "different"):
            if found := getattr(self, name):
                yield f"          {name}: {', '.join(map(str, found[:5]))}"


def read_ledger(path: Path) -> list[Record]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def read_stored(endpoint: str) -> list[Record]:
    """All records of a collector, by pages."""
    records: list[Record] = []
    cursor: dict[str, Any] = {}
    while True:
        with urlopen(f"{endpoint}?{urlencode({'limit': 1000} | cursor)}", timeout=10) as answer:
            page = json.load(answer)
        records += page["records"]
        if page["next"] is None:
            return records
        cursor = {"before": page["next"]}


def audit(ledger: list[Record], stored: list[Record], fields: Record) -> Audit:
    """`fields` are what each stored record must carry beside what the ledger holds."""
    by_event: dict[Any, list[Record]] = {}
    for record in stored:
        by_event.setdefault(record.get("extra", {}).get("event"), []).append(record)
    result = Audit(
        logged=len(ledger),
        stored=len(stored),
        levels=Counter(entry["level"] for entry in ledger),
        exceptions=sum("exception" in entry for entry in ledger),
    )
    for entry in ledger:
        event = entry["extra"]["event"]
        found = by_event.pop(event, [])
        if not found:
            result.missing.append(event)
        if len(found) > 1:
            result.repeated.append(event)
        expected = entry | fields | {"host_process": entry["logger_name"]}
        result.different += [
            f"event {event}, {name}: logged {expected.get(name)!r}, stored {record.get(name)!r}"
            for record in found
            for name in sorted(expected.keys() | ({"exception"} & record.keys()))
            if record.get(name) != expected.get(name)
        ]
    result.unknown = list(by_event)
    return result
