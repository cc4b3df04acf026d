"""The figures of ./run bench as text: what it prints, and what docs/performance.md shows.

Nothing is measured here: a table is made of what a group's measure() has returned, which the JSON
holds.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import spool
from peers import LABELS

Found = dict[str, Any]

# These have no peers in Python to be compared with.
ALONE = ("collector", "cpp", "spool", "search")


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


def collector(found: Found) -> Iterator[str]:
    records, size = (
        found["with full text"][figure]["median"] for figure in ("records", "record_bytes")
    )
    yield from grid(
        f"The collector takes the first {records:,.0f} records of a store, {size:.0f} bytes each:"
        " batches of 1,000 over 4 connections",
        ("records/s", "min–max", "ratio", "CPU s/million", "peak MiB"),
        (
            (
                name,
                *(ns(row["records_per_s"]), between(row["records_per_s"])),
                times(ratio(found, name, "without", "records_per_s")),
                f"{row['cpu_s_per_million']['median']:.1f}",
                f"{row['peak_mib']['median']:.1f}",
            )
            for name, row in found.items()
        ),
    )


def cpp(found: Found) -> Iterator[str]:
    names = {
        "clock": "the clock alone",
        "spdlog null": "spdlog, null sink",
        "spdlog json": "spdlog, JSON sink (rapidjson)",
        "spdlog async json": "spdlog asynchronous, JSON sink",
        "quill": "quill, JSON sink (rapidjson)",
        "ours spdlog": "ours: the sink for spdlog",
        "ours": "ours: Handler::log",
    }
    yield from grid(
        "A call from C++ with three arguments, calls 2 µs apart, wall clock, ns",
        ("p50", "min–max", "p99", "p99.9", "until encoded"),
        (
            (
                title,
                *(f"{row['p50_ns']:,.1f}", f"{row['p50_min_ns']:,.1f}–{row['p50_max_ns']:,.1f}"),
                *(f"{row[figure]:,.0f}" for figure in ("p99_ns", "p999_ns", "encoded_ns")),
            )
            for name, title in names.items()
            if name in found["call"]
            for row in (found["call"][name],)
        ),
    )
    yield "  What the clock alone takes is in all of them."
    yield ""
    yield from encode(found["encode"], "A full record encoded")
    yield ""
    yield from grid(
        "Ready records from C++ through the queue, batches and HTTP, acknowledged",
        ("records/s", "min–max", "a CPU second", "without the caller's", "bytes each"),
        (
            (
                {"none": "uncompressed"}.get(name, name),
                *(ns(row["records_per_s"]), between(row["records_per_s"])),
                *(ns(row["records_per_cpu_s"]), ns(row["records_per_worker_cpu_s"])),
                ns(row["record_bytes"]),
            )
            for name, row in found["transport"].items()
        ),
    )


def encode(found: Found, title: str) -> Iterator[str]:
    names = {
        "ours": "ours, as a log call does it",
        "ours anew": "ours, all of it anew",
        "rapidjson": "rapidjson",
        "memcpy": "memcpy of the ready text",
    }
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


def search(found: Found) -> Iterator[str]:
    asked, followed = found["asked"], found["followed"]
    yield from grid(
        f"GET /api/logs for the newest 100 of {found['records']:,} records and more, made of lines"
        f" {found['source']}, while {asked['rate']:,.0f} records/s come in",
        ("found", "median, ms", "p95", "max"),
        (
            (
                kind,
                f"{row['records']}",
                *(f"{row[figure]:.1f}" for figure in ("median_ms", "p95_ms", "max_ms")),
            )
            for kind, row in asked["kinds"].items()
        ),
    )
    yield ""
    yield (
        f"{followed['tails']} tails, half of everything and half of level>=WARNING, while"
        f" {followed['rate']:,.0f} records/s come in"
    )
    yield (
        f"  {followed['records']:,} and {followed['severe']:,} records to each;"
        f" {followed['missed']:,} of all were told as missed, none left out silently;"
    )
    yield (
        f"  from a record's time to its reader {followed['delay_median_ms']:.0f} ms in the median,"
        f" {followed['delay_p95_ms']:.0f} ms at p95;"
    )
    yield (
        f"  the collector took {followed['cpu_s']:.1f} CPU s and {followed['peak_mib']:.0f} MiB at"
        f" most ({followed['peak_before_mib']:.0f} MiB before)"
    )


def start(found: Found) -> Iterator[str]:
    yield from grid(
        "Importing and constructing a handler in a program that has imported logging",
        ("ms", "min–max", "× OpenTelemetry", "MiB"),
        (
            (
                f"from the {wheel}, {label(shipper)}" if wheel else label(shipper),
                f"{row['ms']['median']:.2f}",
                f"{row['ms']['min']:.2f}–{row['ms']['max']:.2f}",
                f"{ratio(found, name, 'opentelemetry', 'ms'):.3f}",
                f"{row['mib']['median']:.2f}",
            )
            for name, row in found.items()
            for wheel, _, shipper in [name.rpartition(", ")]
        ),
    )


GROUPS: dict[str, Callable[[Found], Iterator[str]]] = {
    "caller": caller,
    "latency": latency,
    "delivery": delivery,
    "collector": collector,
    "cpp": cpp,
    "growth": growth,
    "lines": lines,
    "spool": spool.lines,
    "search": search,
    "start": start,
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
