"""python bench/plots.py REPORT FOLDER: the figures of ./run bench as SVG files.

Runs in the environment of the peers, which has matplotlib. Text and lines are of a grey that can be
read on white and on black; the background is left out. The same report gives the same files.
"""

import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib  # type: ignore[import-not-found,unused-ignore]

matplotlib.use("svg")
import matplotlib.pyplot as plt  # type: ignore[import-not-found,unused-ignore]
from tables import label, size_text

GREY = "#7d8590"
OURS, OTHERS = "#d9480f", "#5c7cfa"
COLOURS = {
    "null": "#7d8590",
    "stream": "#5c7cfa",
    "opentelemetry": "#ae3ec9",
    "loki-logger-handler": "#5c7cfa",
    "batcher": "#2f9e44",
    "ours": "#f59f00",
    "accelerated": "#d9480f",
}
STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "log-aggregator",
    "font.size": 10,
    "figure.constrained_layout.use": True,
    "savefig.transparent": True,
    "text.color": GREY,
    "axes.edgecolor": GREY,
    "axes.labelcolor": GREY,
    "axes.titlecolor": GREY,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "grid.color": GREY,
    "grid.alpha": 0.3,
    "legend.frameon": False,
}

Bars = list[tuple[str, dict[str, float]]]


def is_ours(name: str) -> bool:
    return name.startswith(("ours", "accelerated"))


def bars(rows: Bars, title: str) -> Any:
    """A bar for each name with its least and most, on a logarithmic scale."""
    figure, axes = plt.subplots(figsize=(8, 0.9 + 0.32 * len(rows)))
    values = [row["median"] for _, row in rows]
    errors = [
        [row["median"] - row["min"] for _, row in rows],
        [row["max"] - row["median"] for _, row in rows],
    ]
    colours = [OURS if is_ours(name) else OTHERS for name, _ in rows]
    axes.barh([label(name) for name, _ in rows], values, xerr=errors, color=colours, ecolor=GREY)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(plain_number)
    axes.set_title(title, loc="left")
    axes.grid(axis="x")
    for place, (_, row) in enumerate(rows):
        text, after = f"{row['median']:,.0f}", (row["max"], place)
        axes.annotate(text, after, (6, 0), textcoords="offset points", va="center")
    axes.margins(x=0.2)
    return figure


def plain_number(value: float, _: int) -> str:
    return f"{value:,.0f}" if value >= 1 else f"{value:g}"


Panel = tuple[str, str, dict[str, dict[str, float]], Callable[[str], str]]


def curves(panels: list[Panel]) -> Any:
    """A panel each: title, what the amounts are, by name the value by amount, an amount's text."""
    rows = (len(panels) + 1) // 2
    figure, grid = plt.subplots(rows, 2, figsize=(10, 0.5 + 3.4 * rows), squeeze=False)
    for axes in list(grid.flat)[len(panels) :]:
        axes.set_axis_off()
    lines = {}
    for axes, (title, amounts, found, text) in zip(grid.flat, panels, strict=False):
        for name, values in found.items():
            style = {"marker": "o", "markersize": 3, "color": COLOURS[name]}
            (lines[name],) = axes.plot(list(values.values()), **style)
        heads = list(next(iter(found.values())))
        axes.set_xticks(range(len(heads)), [text(head) for head in heads])
        between_decades(axes, [value for values in found.values() for value in values.values()])
        axes.set_title(title, loc="left")
        axes.set_xlabel(amounts)
        axes.grid(axis="y")
    figure.legend(lines.values(), map(label, lines), loc="outside lower center", ncols=3)
    return figure


def between_decades(axes: Any, values: list[float]) -> None:
    """A logarithmic scale of whole decades, so that little differences look little."""
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(plain_number)
    lowest, highest = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    axes.set_ylim(10**lowest, 10**highest)


def medians(found: dict[str, Any], figure: str = "median") -> dict[str, dict[str, float]]:
    return {
        name: {kind: row[figure] for kind, row in kinds.items()} for name, kinds in found.items()
    }


def caller(found: dict[str, Any]) -> Any:
    rows = [(name, kinds["plain"]) for name, kinds in found.items()]
    return bars(rows, "A log call with two arguments: CPU time of its thread, ns")


def delivery(found: dict[str, Any]) -> Any:
    rows = [(name, row["records_per_s"]) for name, row in found["sink"].items()]
    return bars(rows, "Records a second, delivered and acknowledged, one thread")


def latency(found: dict[str, Any]) -> Any:
    shares = {"p50_ns": "p50", "p99_ns": "p99", "p999_ns": "p99.9", "max_ns": "max"}
    panels: list[Panel] = []
    for prefix, title in (("", "The call alone"), ("late_", "From when the call was due")):
        values = {
            name: {text: row[prefix + share]["median"] / 1e3 for share, text in shares.items()}
            for name, row in found.items()
        }
        panels.append((f"{title}, at 4,000 records/s, µs", "", values, str))
    return curves(panels)


def growth(found: dict[str, Any]) -> Any:
    return curves(
        [
            ("CPU time of a call, ns", "bytes of its message", medians(found["sizes"]), size_text),
            ("CPU time of a call, ns", "extras", medians(found["extras"]), str),
            (
                *("Records/s, acknowledged", "threads that log"),
                *(medians(found["threads"], "records_per_s"), str),
            ),
            ("Records/s, acknowledged", "round trip, ms", medians(found["round_trips"]), str),
            (
                "CPU time of a call, ns",
                "waiting in the spool",
                medians(found["backlog"]),
                size_text,
            ),
        ]
    )


PLOTS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "caller": caller,
    "delivery": delivery,
    "latency": latency,
    "growth": growth,
}


def main() -> None:
    groups = json.loads(Path(sys.argv[1]).read_text())
    folder = Path(sys.argv[2])
    folder.mkdir(exist_ok=True)
    plt.rcParams.update(STYLE)
    for name, plot in PLOTS.items():
        if name in groups:
            path = folder / f"bench-{name}.svg"
            plot(groups[name]["found"]).savefig(path, metadata={"Date": None})
            # Its lines end in spaces.
            path.write_text("\n".join(map(str.rstrip, path.read_text().splitlines())) + "\n")


if __name__ == "__main__":
    main()
