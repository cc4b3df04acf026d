"""docs/reliability.md names tests; each of them exists."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("src", "collector", "cli", "tests")


def test_every_test_that_the_document_names_exists() -> None:
    document = (ROOT / "docs" / "reliability.md").read_text()
    named = set(re.findall(r"`(test_\w+|[A-Z]\w*Test\.\w+)`", document))
    sources = [
        path.read_text()
        for folder in SOURCES
        for pattern in ("*_test.cc", "test_*.py")
        for path in (ROOT / folder).rglob(pattern)
    ]
    found = set()
    for text in sources:
        found.update(re.findall(r"^def (test_\w+)", text, re.MULTILINE))
        found.update(
            f"{suite}.{name}"
            for suite, name in re.findall(r"^TEST(?:_[FP])?\((\w+),\s*(\w+)\)", text, re.MULTILINE)
        )
    assert named
    assert named - found == set()
