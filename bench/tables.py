"""The figures of ./run bench as text: what it prints, and what docs/performance.md shows.

Nothing is measured here: a table is made of what a group's measure() has returned, which the JSON
holds.
"""

import textwrap
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import spool
from peers import LABELS

Found = dict[str, Any]

# These have no peers in Python to be compared with.
ALONE = ("collector", "cpp", "spool")


def conditions_line(where: dict[str, Any]) -> str:
    parts = [
        f"{where['cpu']}, {where['cores']} cores, Linux {where['kernel']}",
        f"CPython {where['python']}",
        where["date"],
        f"load at the start {where['load_at_start']:.1f}",
    ]
    return ", ".join(parts) + (", --quick" if where["quick"] else "")


def versions_line(where: dict[str, Any]) -> str:
    return ", ".join(f"{name} {version}" for name, version in where["versions"].items())


# ---- layout


def grid(title: str, heads: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    """A title, then columns as wide as they need, the first to the left."""
    cells = [["", *heads], *(list(row) for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    yield title
    for row in cells:
        rest = "".join(
            f"{cell:>{width + 2}}" for cell, width in zip(row[1:], widths[1:], strict=True)
        )
        yield f"  {row[0]:<{widths[0]}}{rest}".rstrip()


def label(name: str) -> str:
    return LABELS.get(name, name)


def ns(figures: dict[str, float]) -> str:
    return f"{figures['median']:,.0f}"


def between(figures: dict[str, float]) -> str:
    return f"{figures['min']:,.0f}–{figures['max']:,.0f}"


def times(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"


def ratio(found: Found, name: str, base: str, *path: str) -> float:
    def at(place: Any) -> float:
        for part in path:
            place = place[part]
        median: float = place["median"]
        return median

    return at(found[name]) / at(found[base])


# ---- the groups


def caller(found: Found) -> Iterator[str]:
    yield from grid(
        "What logger.info() with two arguments costs its thread: CPU time of a call, ns",
        ("ns", "min–max", "×", "2 extras", "min–max", "×", "disabled"),
        (
            (
                label(name),
                *(ns(kinds["plain"]), between(kinds["plain"])),
                times(ratio(found, name, "null", "plain")),
                *extras_cells(found, name),
                ns(kinds["disabled"]),
            )
            for name, kinds in found.items()
        ),
    )
    loop = found["null"]["loop"]["median"]
    yield f"  An empty loop takes {loop:.0f} ns a turn, which is in all of them."
    yield ""
    chosen = ("null", "stream", "opentelemetry", "ours", "accelerated")
    yield from grid(
        "logger.error() with an exception of nine frames, each its own: CPU time of a call, µs",
        ("µs", "min–max", "× StreamHandler"),
        (
            (
                label(name),
                f"{found[name]['exception']['median'] / 1e3:.1f}",
                *(f"{kinds['min'] / 1e3:.1f}–{kinds['max'] / 1e3:.1f}",),
                times(ratio(found, name, "stream", "exception")),
            )
            for name in chosen
            if name in found
            for kinds in (found[name]["exception"],)
        ),
    )


def extras_cells(found: Found, name: str) -> tuple[str, str, str]:
    if "extras" not in found[name]:
        return ("–", "–", "–")
    figures = found[name]["extras"]
    return ns(figures), between(figures), times(ratio(found, name, "null", "extras"))


def latency(found: Found) -> Iterator[str]:
    names = ("p50", "p99", "p999", "max")
    yield from grid(
        "A call at 4,000 records/s in a thread that works between the calls, wall clock, µs",
        ("p50", "p99", "p99.9", "max", "from when it was due: p50", "p99", "p99.9", "max"),
        (
            (
                label(name),
                *(f"{row[f'{part}_ns']['median'] / 1e3:,.1f}" for part in names),
                *(f"{row[f'late_{part}_ns']['median'] / 1e3:,.1f}" for part in names),
            )
            for name, row in found.items()
        ),
    )


def delivery(found: Found) -> Iterator[str]:
    sink = found["sink"]
    yield from grid(
        "Delivered and acknowledged, two extras, one thread, to a server that only acknowledges",
        (
            *("records/s", "min–max", "× one POST", "CPU s/million", "bytes sent"),
            *("peak MiB over idle", "start ms", "start MiB"),
        ),
        (
            (
                label(name),
                *(ns(row["records_per_s"]), between(row["records_per_s"])),
                times(ratio(sink, name, "requests", "records_per_s")),
                f"{row['cpu_s_per_million']['median']:.2f}",
                f"{row['sent_bytes']['median']:.0f}",
                f"{row['peak_over_idle_mib']['median']:.1f}",
                f"{row['start_ms']['median']:.1f}",
                f"{row['start_mib']['median']:.1f}",
            )
            for name, row in sink.items()
        ),
    )
    yield ""
    yield from grid(
        "The same to log-aggregator serve, stored durably",
        ("records/s", "min–max", "× one POST", "CPU s/million", "peak MiB over idle"),
        (
            (
                label(name),
                *(ns(row["records_per_s"]), between(row["records_per_s"])),
                times(ratio(found["collector"], name, "requests", "records_per_s")),
                f"{row['cpu_s_per_million']['median']:.2f}",
                f"{row['peak_over_idle_mib']['median']:.1f}",
            )
            for name, row in found["collector"].items()
        ),
    )


def collector(row: Found) -> Iterator[str]:
    yield "The collector: batches of 1,000 over 4 connections, acknowledged after the commit"
    yield (
        f"  the first {row['records']:,} records of a store: {row['records_per_s']:,.0f} records/s"
        f" of {row['record_bytes']:.0f} bytes;"
    )
    yield f"  {row['cpu_s_per_million']:.1f} CPU s for a million, peak {row['peak_mib']:.1f} MiB"


def cpp(found: Found) -> Iterator[str]:
    names = {
        "clock": "the clock alone",
        "spdlog null": "spdlog, null sink",
        "spdlog json": "spdlog, JSON sink (rapidjson)",
        "spdlog async json": "spdlog asynchronous, JSON sink",
        "ours": "ours: RecordWriter and Handler::log",
    }
    yield from grid(
        "A call from C++ with three arguments, calls 2 µs apart, wall clock, ns",
        ("p50", "min–max", "p99", "p99.9", "until encoded"),
        (
            (
                title,
                *(f"{row['p50_ns']:,.0f}", f"{row['p50_min_ns']:,.0f}–{row['p50_max_ns']:,.0f}"),
                *(f"{row[figure]:,.0f}" for figure in ("p99_ns", "p999_ns", "encoded_ns")),
            )
            for name, title in names.items()
            for row in (found["call"][name],)
        ),
    )
    yield ""
    yield from encode(found["encode"], "A full record encoded")
    yield ""
    yield from grid(
        "Ready records from C++ through the queue, batches and HTTP, acknowledged",
        ("records/s", "min–max", "a CPU second", "bytes each"),
        (
            (
                {"none": "uncompressed"}.get(name, name),
                *(ns(row["records_per_s"]), between(row["records_per_s"])),
                *(ns(row["records_per_cpu_s"]), ns(row["record_bytes"])),
            )
            for name, row in found["transport"].items()
        ),
    )


def encode(found: Found, title: str) -> Iterator[str]:
    names = {"ours": "ours", "rapidjson": "rapidjson", "memcpy": "memcpy of the ready text"}
    yield from grid(
        title,
        ("ns", "min–max", "bytes", "GB/s", "× rapidjson"),
        (
            (
                names[name],
                f"{row['median_ns']:,.0f}",
                *(f"{row['min_ns']:,.0f}–{row['max_ns']:,.0f}", f"{row['bytes']:.0f}"),
                f"{row['bytes'] / row['median_ns']:.2f}",
                times(found["rapidjson"]["median_ns"] / row["median_ns"]),
            )
            for name, row in found.items()
        ),
    )


def growth(found: Found) -> Iterator[str]:
    yield from by_amount(
        "CPU time of a call by the bytes of its message, ns", found["sizes"], size_text, ns
    )
    yield ""
    yield from by_amount(
        "CPU time of a call by the number of its extras, ns", found["extras"], str, ns
    )
    yield ""
    threads = found["threads"]
    yield from by_amount(
        "Records/s delivered and acknowledged, by the threads that log",
        threads,
        str,
        lambda row: f"{row['records_per_s']:,.0f}",
    )
    yield ""
    yield from by_amount(
        "CPU time of a call by the threads that log, ns",
        threads,
        str,
        lambda row: f"{row['call_ns']:,.0f}",
    )
    yield ""
    yield from by_amount(
        "Records/s delivered and acknowledged, by the round trip in ms",
        found["round_trips"],
        str,
        ns,
    )
    yield ""
    yield from by_amount(
        "CPU time of a call with two extras by what waits in the spool, ns",
        found["backlog"],
        size_text,
        ns,
    )


def by_amount(
    title: str, found: Found, head: Callable[[Any], str], cell: Callable[[Any], str]
) -> Iterator[str]:
    amounts = list(next(iter(found.values())))
    yield from grid(
        title,
        [head(amount) for amount in amounts],
        ((label(name), *(cell(row[amount]) for amount in amounts)) for name, row in found.items()),
    )


def size_text(size: str) -> str:
    value, unit = int(size), "B"
    for larger in ("KiB", "MiB", "GiB"):
        if value and value % 1024 == 0:
            value, unit = value // 1024, larger
    return f"{value} {unit}"


def lines(found: Found) -> Iterator[str]:
    yield from grid(
        f"Each of {found['lines']:,} lines a message ({found['source']},"
        f" {found['mean_bytes']:.0f} bytes on average)",
        ("call, ns", "records/s", "min–max", "CPU s/million", "bytes sent"),
        (
            (
                label(name),
                ns(row["call_ns"]),
                *(ns(row["records_per_s"]), between(row["records_per_s"])),
                f"{row['cpu_s_per_million']['median']:.2f}",
                f"{row['sent_bytes']['median']:.0f}",
            )
            for name, row in found["shippers"].items()
        ),
    )
    yield ""
    yield from encode(found["encode"], "A full record with such a message encoded in C++")


GROUPS: dict[str, Callable[[Found], Iterator[str]]] = {
    "caller": caller,
    "latency": latency,
    "delivery": delivery,
    "collector": collector,
    "cpp": cpp,
    "growth": growth,
    "lines": lines,
    "spool": spool.lines,
}


def group_lines(name: str, group: dict[str, Any]) -> Iterator[str]:
    """A group as the JSON holds it: its conditions, then its tables."""
    yield conditions_line(group["conditions"])
    yield ""
    yield from GROUPS[name](group["found"])
    if name not in ALONE:
        yield from missing_lines(group["conditions"]["missing"])


def missing_lines(missing: dict[str, str]) -> Iterator[str]:
    if missing:
        yield ""
    for why in dict.fromkeys(missing.values()):
        names = "; ".join(label(name) for name, reason in missing.items() if reason == why)
        yield f"  left out: {names}: {why}"


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


def encoded(found: Found) -> float:
    rates = found["encode"]
    return float(rates["rapidjson"]["median_ns"]) / float(rates["ours"]["median_ns"])


def transported(compression: str) -> Callable[[Found], float]:
    return lambda found: float(found["transport"][compression]["records_per_cpu_s"]["median"])


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
    Goal("cpp", "encoding × rapidjson's speed", 6, False, encoded),
    Goal("cpp", "transport, records a CPU second", 5e6, False, transported("none")),
    Goal("cpp", "the same with zstd", 6e5, False, transported("zstd")),
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
