"""What the figures of ./run bench come to: goals met or not, and where others are better.

As tables.py, of a report as the JSON holds it.
"""

import math
import textwrap
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from tables import Found, grid, label, ratio

# ---- the goals


@dataclass(frozen=True)
class Goal:
    group: str
    text: str
    limit: float
    at_most: bool
    value: Callable[[Found], float]
    """Of what the group found; a KeyError says that a variant was left out."""

    def row(self, found: Found | None) -> tuple[str, str, str, str]:
        limit = f"{'≤' if self.at_most else '≥'} {figure(self.limit)}"
        try:
            if found is None:
                raise KeyError(self.group)
            value = self.value(found)
        except KeyError:
            return self.text, limit, "–", "not measured"
        met = value <= self.limit if self.at_most else value >= self.limit
        return self.text, limit, figure(value), "met" if met else "NOT MET"


def figure(value: float) -> str:
    if math.isinf(value):
        return "∞"
    if value < 0.01:
        return f"1/{1 / value:,.0f}"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def call_ratio(name: str, kind: str, base: str) -> Callable[[Found], float]:
    return lambda found: ratio(found, name, base, kind)


def sent_ratio(name: str, base: str, what: str = "records_per_s") -> Callable[[Found], float]:
    return lambda found: ratio(found["sink"], name, base, what)


def sent(name: str, what: str) -> Callable[[Found], float]:
    def value(found: Found) -> float:
        median: float = found["sink"][name][what]["median"]
        return median

    return value


def slowest(name: str) -> Callable[[Found], float]:
    def value(found: Found) -> float:
        return float(found[name]["p999_ns"]["median"]) / 1e3

    return value


def encoded(name: str) -> Callable[[Found], float]:
    def value(found: Found) -> float:
        rates = found["encode"]
        return float(rates["rapidjson"]["median_ns"]) / float(rates[name]["median_ns"])

    return value


def transported(compression: str) -> Callable[[Found], float]:
    what = "records_per_worker_cpu_s"
    return lambda found: float(found["transport"][compression][what]["median"])


def cpp_ratio(name: str, base: str, what: str) -> Callable[[Found], float]:
    return lambda found: float(found["call"][name][what]) / float(found["call"][base][what])


def net_ratio(name: str, base: str, of: str = "p50_ns") -> Callable[[Found], float]:
    """p50 of one kind of call over that, or the figure `of`, of another, each less what the clock
    alone takes; infinite where nothing is left of the other."""

    def value(found: Found) -> float:
        calls = found["call"]
        clock = float(calls["clock"]["p50_ns"])
        ours, theirs = float(calls[name]["p50_ns"]) - clock, float(calls[base][of]) - clock
        return ours / theirs if theirs > 0 else math.inf

    return value


def slowest_query(found: Found) -> float:
    return max(float(kind["median_ms"]) for kind in found["asked"]["kinds"].values())


GOALS = (
    Goal("caller", "plain call × NullHandler", 1.12, True, call_ratio("ours", "plain", "null")),
    Goal(
        "caller",
        "accelerated × NullHandler",
        0.06,
        True,
        call_ratio("accelerated", "plain", "null"),
    ),
    Goal(
        "caller", "the same with 2 extras", 0.085, True, call_ratio("accelerated", "extras", "null")
    ),
    Goal(
        "caller",
        "disabled level × stdlib's",
        0.30,
        True,
        call_ratio("accelerated", "disabled", "null"),
    ),
    Goal(
        "caller",
        "exception × StreamHandler",
        0.30,
        True,
        call_ratio("accelerated", "exception", "stream"),
    ),
    Goal(
        "caller",
        "exception, plain, × StreamHandler",
        0.30,
        True,
        call_ratio("ours", "exception", "stream"),
    ),
    Goal("latency", "p99.9 at 4,000 records/s, µs", 20, True, slowest("accelerated")),
    Goal(
        *("latency", "the same × OpenTelemetry's", 1 / 500, True),
        lambda found: ratio(found, "accelerated", "opentelemetry", "p999_ns"),
    ),
    Goal(
        *("latency", "p99.9 from when it was due × OpenTelemetry's", 1 / 500, True),
        lambda found: ratio(found, "accelerated", "opentelemetry", "late_p999_ns"),
    ),
    Goal(
        "delivery",
        "accelerated × one POST",
        1200,
        False,
        sent_ratio("accelerated-plain", "requests"),
    ),
    Goal(
        "delivery",
        "accelerated × OpenTelemetry",
        200,
        False,
        sent_ratio("accelerated-plain", "opentelemetry"),
    ),
    Goal("delivery", "plain × one POST", 80, False, sent_ratio("ours-plain", "requests")),
    Goal("delivery", "plain × OpenTelemetry", 12, False, sent_ratio("ours-plain", "opentelemetry")),
    Goal(
        *("delivery", "CPU, accelerated × OpenTelemetry's", 1 / 150, True),
        sent_ratio("accelerated-plain", "opentelemetry", "cpu_s_per_million"),
    ),
    Goal(
        *("delivery", "peak MiB over idle, accelerated", 8, True),
        sent("accelerated-plain", "peak_over_idle_mib"),
    ),
    Goal("delivery", "import and construction, ms", 15, True, sent("ours", "start_ms")),
    Goal(
        "delivery",
        "the same × OpenTelemetry's",
        0.1,
        True,
        sent_ratio("ours", "opentelemetry", "start_ms"),
    ),
    Goal("delivery", "plain, spool × no spool", 0.85, False, sent_ratio("ours-spool", "ours")),
    Goal(
        *("delivery", "accelerated, spool × no spool", 0.85, False),
        sent_ratio("accelerated-spool", "accelerated"),
    ),
    Goal(
        *("cpp", "spdlog with our sink × its null sink, p50", 1.6, True),
        cpp_ratio("ours spdlog", "spdlog null", "p50_ns"),
    ),
    Goal(
        *("cpp", "the same less what the clock takes", 1.6, True),
        net_ratio("ours spdlog", "spdlog null"),
    ),
    Goal(
        *("cpp", "spdlog with our sink × asynchronous spdlog, p50", 0.2, True),
        cpp_ratio("ours spdlog", "spdlog async json", "p50_ns"),
    ),
    Goal(
        *("cpp", "the same, p99", 0.2, True),
        cpp_ratio("ours spdlog", "spdlog async json", "p99_ns"),
    ),
    Goal(
        *("cpp", "our own call × quill's, p50", 1.2, True),
        cpp_ratio("ours", "quill", "p50_ns"),
    ),
    Goal(
        *("cpp", "the same less what the clock takes", 1.2, True),
        net_ratio("ours", "quill"),
    ),
    Goal(
        *("cpp", "our own call × quill's until it has encoded, less the clock", 0.2, True),
        net_ratio("ours", "quill", "encoded_ns"),
    ),
    Goal("cpp", "encoding as a log call does × rapidjson's speed", 6, False, encoded("ours")),
    Goal("cpp", "the same, all of it anew", 6, False, encoded("ours anew")),
    Goal("cpp", "transport, records a second of its CPU", 5e6, False, transported("none")),
    Goal("cpp", "the same with zstd", 6e5, False, transported("zstd")),
    Goal(
        *("start", "from a wheel: import and construction, ms", 15, True),
        lambda found: float(found["wheel, ours"]["ms"]["median"]),
    ),
    Goal(
        *("start", "the same × OpenTelemetry's", 0.1, True),
        lambda found: ratio(found, "wheel, ours", "opentelemetry", "ms"),
    ),
    Goal("search", "the slowest kind of query, newest 100, ms", 50, True, slowest_query),
)


def goals(groups: dict[str, Any]) -> Iterator[str]:
    """Of the groups that were measured."""
    rows = [goal.row(groups[goal.group]["found"]) for goal in GOALS if goal.group in groups]
    if rows:
        yield from grid("Goals", ("goal", "measured", ""), rows)


# ---- where others are better

OURS = ("ours", "accelerated")
# Of a group's rows: the place of the rows, the figure, what it is, and whether less is better.
COMPARED = (
    ("caller", (), ("plain", "median"), "CPU time of a call, ns", True),
    ("caller", (), ("extras", "median"), "the same with two extras, ns", True),
    ("caller", (), ("exception", "median"), "the same with an exception, ns", True),
    ("latency", (), ("p999_ns", "median"), "p99.9 of a call, ns", True),
    ("latency", (), ("late_p999_ns", "median"), "the same from when it was due, ns", True),
    ("delivery", ("sink",), ("records_per_s", "median"), "records/s", False),
    ("delivery", ("sink",), ("cpu_s_per_million", "median"), "CPU s for a million", True),
    ("delivery", ("sink",), ("sent_bytes", "median"), "bytes sent", True),
    ("delivery", ("sink",), ("peak_over_idle_mib", "median"), "peak MiB over idle", True),
    ("delivery", ("sink",), ("start_ms", "median"), "import and construction, ms", True),
    ("delivery", ("sink",), ("start_mib", "median"), "the same, MiB", True),
    ("cpp", ("call",), ("p50_ns",), "a call from C++, p50, ns", True),
    ("cpp", ("call",), ("p99_ns",), "the same, p99, ns", True),
    ("cpp", ("encode",), ("median_ns",), "encoding a record, ns", True),
    ("lines", ("shippers",), ("records_per_s", "median"), "log lines: records/s", False),
    ("lines", ("shippers",), ("sent_bytes", "median"), "log lines: bytes sent", True),
    ("lines", ("encode",), ("median_ns",), "log lines: encoding a record, ns", True),
)
# What does nothing is no peer: it is the floor.
FLOORS = ("null", "pass", "clock", "memcpy")


def better(groups: dict[str, Any]) -> Iterator[str]:
    """Each figure in which another is better than ours without acceleration."""
    yield "Where others are better than ours (and than ours accelerated)"
    yield from list(better_figures(groups)) or ["  nowhere in these groups"]


def better_figures(groups: dict[str, Any]) -> Iterator[str]:
    for group, path, figure_path, what, less in COMPARED:
        if group not in groups:
            continue
        rows = down(groups[group]["found"], path)
        found = {
            name: down(row, figure_path) for name, row in rows.items() if has(row, figure_path)
        }
        ours = [found[name] for name in OURS if name in found]
        winners = [
            f"{label(name)} {figure(value)}"
            for name, value in found.items()
            if (value < ours[0] if less else value > ours[0])
            if not name.startswith(OURS) and name not in FLOORS
        ]
        if winners:
            rest = " and ".join(figure(each) for each in ours)
            yield from wrapped(f"{what} (ours {rest}): {'; '.join(winners)}")
    if "growth" in groups:
        yield from outgrown(groups["growth"]["found"])


def outgrown(found: Found) -> Iterator[str]:
    for part, of, less, key in (
        ("sizes", "bytes of a message", True, "median"),
        ("extras", "extras", True, "median"),
        ("threads", "threads", False, "records_per_s"),
        ("round_trips", "ms of a round trip", False, "median"),
    ):
        for name, row in found[part].items():
            amounts = [
                amount
                for amount, figures in row.items()
                for ours in (found[part]["ours"][amount][key],)
                if (figures[key] < ours if less else figures[key] > ours)
            ]
            if amounts and not name.startswith(OURS) and name not in FLOORS:
                yield f"  at {', '.join(amounts)} {of}: {label(name)}"


def wrapped(text: str) -> list[str]:
    indent, more = "  ", "      "
    return textwrap.wrap(
        text, 100, initial_indent=indent, subsequent_indent=more, break_on_hyphens=False
    )


def down(place: Any, path: Iterable[str]) -> Any:
    for part in path:
        place = place[part]
    return place


def has(row: Found, path: tuple[str, ...]) -> bool:
    return path[0] in row
