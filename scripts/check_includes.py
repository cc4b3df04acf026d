"""Refuses an #include that points upward.

Each folder may include itself and what LAYERS lists for it; docs/architecture.md says why. Only our
own headers are looked at. Prints `file:line: ...` for each that is wrong and exits with 1.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

BASE = [
    "include/log_aggregator/status.h",
    "include/log_aggregator/export.h",
    "include/log_aggregator/json_writer.h",
    "include/log_aggregator/json_value.h",
    "src/base/",
]
OPTIONS = ["include/log_aggregator/options.h", "include/log_aggregator/stats.h"]
DELIVER = [*BASE, *OPTIONS, "src/journal/", "src/format/", "src/deliver/"]

LAYERS = {
    "include/log_aggregator": ["include/log_aggregator/"],
    "src/base": BASE,
    "src/journal": [*BASE, *OPTIONS, "src/journal/"],
    "src/format": [*BASE, *OPTIONS, "src/journal/segment.h", "src/format/"],
    "src/deliver": DELIVER,
    "src/handler": [*DELIVER, "include/log_aggregator/", "src/handler/"],
    # Fakes for the seams, and what else the tests share.
    "src/testing": [*DELIVER, "src/testing/"],
    "python/binding": ["include/log_aggregator/", "src/handler/record_writer.h", "python/binding/"],
    # The collector knows the handler only by HTTP.
    "collector": [*BASE, "collector/"],
    # Who keeps records that are numbered already, as `send` does, feeds them to the core itself.
    "cli": [
        *BASE,
        "include/log_aggregator/",
        "src/handler/feed.h",
        "src/handler/record_writer.h",
        "collector/",
        "cli/",
    ],
    "bench": ["include/log_aggregator/", "src/", "collector/", "bench/"],
}

INCLUDE = re.compile(r'^\s*#\s*include\s*["<]([^">]+)[">]')


def resolve(root: Path, source: Path, included: str) -> str | None:
    """The path from the root that an include means, None where it is not ours."""
    for folder in (root, root / "include", source.parent, root / "src"):
        candidate = folder / included
        if candidate.is_file():
            return candidate.resolve().relative_to(root).as_posix()
    return None


def wrong_includes(root: Path) -> Iterator[str]:
    for layer, allowed in LAYERS.items():
        for source in sorted((root / layer).rglob("*")):
            if source.suffix not in (".h", ".cc"):
                continue
            if source.name.endswith("_test.cc"):
                usable = (*allowed, "src/testing/")
            else:
                usable = tuple(allowed)
            for number, line in enumerate(source.read_text().splitlines(), start=1):
                match = INCLUDE.match(line)
                target = match and resolve(root, source, match[1])
                if target and not target.startswith(usable):
                    name = source.relative_to(root)
                    yield f"{name}:{number}: {layer} may not include {target}"


def main() -> int:
    found = list(wrong_includes(Path(__file__).resolve().parent.parent))
    for line in found:
        print(line)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
