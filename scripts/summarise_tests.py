"""Sums up JUnit files in one line: `N passed, N failed, N skipped`.

Names above that line what failed, and what was skipped and why. Exits with 1 where a test failed, a
file is missing or holds no test: a suite that did not run must not pass for one that passed.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree


@dataclass
class Result:
    name: str
    outcome: str  # "passed", "failed" or "skipped"
    reason: str = ""


def read_suite(path: Path) -> list[Result]:
    """The results in one file; one failure of the file's own where there are none."""
    try:
        cases = list(ElementTree.parse(path).getroot().iter("testcase"))
    except (OSError, ElementTree.ParseError) as error:
        return [Result(path.stem, "failed", f"the suite left no results: {error}")]
    if not cases:
        return [Result(path.stem, "failed", "the suite has no tests")]
    return [read_case(case) for case in cases]


def read_case(case: ElementTree.Element) -> Result:
    # ctest gives class and name the same text.
    parts = [case.get("classname", ""), case.get("name", "")]
    name = "::".join(part for part in dict.fromkeys(parts) if part)
    for tag in ("failure", "error"):
        if (found := case.find(tag)) is not None:
            return Result(name, "failed", found.get("message", ""))
    if (found := case.find("skipped")) is not None:
        return Result(name, "skipped", gtest_reason(case) or found.get("message", ""))
    if case.get("status", "run") not in ("run", "passed"):  # ctest: "fail", "notrun", "disabled"
        return Result(name, "failed", f"status {case.get('status')}")
    return Result(name, "passed")


def gtest_reason(case: ElementTree.Element) -> str:
    """What GTEST_SKIP() << was given: the line after `file.cc:12: Skipped`."""
    lines = iter((case.findtext("system-out") or "").splitlines())
    for line in lines:
        if line.endswith(": Skipped"):
            return next(lines, "").strip()
    return ""


def report(results: list[Result]) -> Iterator[str]:
    for outcome in ("skipped", "failed"):
        for result in results:
            if result.outcome == outcome:
                reason = next(iter(result.reason.splitlines()), "")
                yield f"  {outcome}: {result.name}" + (f": {reason}" if reason else "")
    counts = [
        f"{sum(result.outcome == outcome for result in results)} {outcome}"
        for outcome in ("passed", "failed", "skipped")
    ]
    yield ", ".join(counts)


def main(paths: list[str]) -> int:
    results = [result for path in paths for result in read_suite(Path(path))]
    for line in report(results):
        print(line)
    return 1 if not results or any(result.outcome == "failed" for result in results) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
