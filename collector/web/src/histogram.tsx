// How many records there are, by time and severity. Selecting in it selects a period.
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import uPlot from "uplot";

import { type ApiError, apiError, getHistogram } from "./api";
import { type Buckets, type Counts, buckets, columns, sum, total } from "./buckets";
import { type Severity, severities } from "./levels";
import { visible } from "./text";
import { type Period, type Span, type View, iso, spanLengths_ms, spanNames, spans } from "./view";

const height = 112;
const columnWidth = 9;
const refresh_ms = 5_000;
const day_ms = 86_400_000;

function style(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/** From the first record on: a coarse look finds out when that was. */
async function everything(query: string, signal: AbortSignal): Promise<Period> {
  const to_ms = Date.now();
  const parameters = { query, from: iso(0), to: iso(to_ms), buckets: 1_000 };
  const { buckets } = await getHistogram(parameters, signal);
  const first = buckets[0];
  return { from_ms: first ? Date.parse(first.time) : to_ms - day_ms, to_ms };
}

async function load(view: View, width: number, signal: AbortSignal): Promise<Buckets> {
  const now_ms = Date.now();
  const asked =
    view.period ??
    (view.span === "all"
      ? await everything(view.query, signal)
      : { from_ms: now_ms - spanLengths_ms[view.span], to_ms: now_ms });
  const parameters = {
    query: view.query,
    from: iso(asked.from_ms),
    to: iso(asked.to_ms),
    buckets: Math.min(300, Math.max(20, Math.floor(width / columnWidth))),
  };
  return buckets(await getHistogram(parameters, signal));
}

/** The newest answer; asked for again and again unless `still`, at most a tenth of the time. */
function useBuckets(view: View, still: boolean, width: number) {
  const [found, setFound] = useState<Buckets>();
  const [error, setError] = useState<ApiError>();
  const { query, span, period } = view;
  useEffect(() => {
    if (width === 0) return undefined;
    const abort = new AbortController();
    let timer = 0;
    const ask = async () => {
      const begin_ms = performance.now();
      try {
        setFound(await load(view, width, abort.signal));
        setError(undefined);
      } catch (reason) {
        if (abort.signal.aborted) return;
        const failure = apiError(reason);
        setError(failure);
        if (!failure.mayPass) return;
      }
      if (abort.signal.aborted || still) return;
      timer = setTimeout(ask, Math.max(refresh_ms, 10 * (performance.now() - begin_ms)));
    };
    void ask();
    return () => {
      abort.abort();
      clearTimeout(timer);
    };
  }, [query, span, period?.from_ms, period?.to_ms, still, width]);
  return { found, error };
}

/** As long as the distance of two needs it. */
function timeText(time_s: number, distance_s: number): string {
  const time = new Date(time_s * 1_000);
  if (distance_s * 1_000 >= day_ms) {
    return time.toLocaleDateString(undefined, { month: "short", day: "numeric" });
  }
  return time.toLocaleTimeString(undefined, {
    hour: "2-digit",
    minute: "2-digit",
    ...(distance_s < 60 && { second: "2-digit" }),
    hourCycle: "h23",
  });
}

function compact(value: number): string {
  return Intl.NumberFormat("en", { notation: "compact" }).format(value);
}

function axes(): uPlot.Axis[] {
  const axis = {
    stroke: style("--quiet"),
    font: `11px ${style("--sans")}`,
    gap: 4,
    grid: { stroke: style("--line"), width: 1 },
    ticks: { show: false },
  };
  const times: uPlot.Axis = {
    ...axis,
    size: 22,
    space: 70,
    grid: { show: false },
    values: (_plot, all, _axis, _space, distance_s) =>
      all.map((time_s) => timeText(time_s, distance_s)),
  };
  const counts: uPlot.Axis = {
    ...axis,
    size: 44,
    space: 28,
    values: (_plot, all) => all.map(compact),
  };
  return [times, counts];
}

/** The highest first: those after it are drawn over it. */
function series(): uPlot.Series[] {
  const bars = uPlot.paths.bars?.({ size: [0.86, 40], align: 1 });
  const all = severities.map((name) => ({
    fill: style(`--bar-${name}`),
    width: 0,
    points: { show: false },
    ...(bars && { paths: bars }),
  }));
  return [{}, ...all.reverse()];
}

/** Which column is `left` pixels from the beginning. */
function columnAt(plot: uPlot, { begin_ms, step_ms, counts }: Buckets, left: number) {
  if (left < 0) return undefined;
  const column = Math.floor((plot.posToVal(left, "x") * 1_000 - begin_ms) / step_ms);
  return column in counts ? column : undefined;
}

function options(
  width: number,
  current: () => Buckets,
  onHover: (column: number | undefined) => void,
  onSelect: (period: Period) => void,
): uPlot.Options {
  const cursorColumn = (plot: uPlot) => columnAt(plot, current(), plot.cursor.left ?? -1);
  const select = (first: number | undefined, last: number | undefined) => {
    if (first === undefined || last === undefined) return;
    const { begin_ms, step_ms } = current();
    onSelect({ from_ms: begin_ms + first * step_ms, to_ms: begin_ms + (last + 1) * step_ms });
  };
  // A drag selects all columns that it touches, a click the one. After a drag uPlot keeps the click
  // to itself.
  const selectDragged = (plot: uPlot) => {
    const { left, width: dragged } = plot.select;
    if (dragged === 0) return;
    select(columnAt(plot, current(), left), columnAt(plot, current(), left + dragged - 1));
  };
  const listen = (plot: uPlot) =>
    plot.over.addEventListener("click", () => select(cursorColumn(plot), cursorColumn(plot)));
  return {
    width,
    height,
    padding: [8, 0, 0, 0],
    legend: { show: false },
    cursor: { y: false, points: { show: false }, drag: { x: true, y: false, setScale: false } },
    scales: {
      x: { range: () => [current().period.from_ms / 1_000, current().period.to_ms / 1_000] },
      y: { range: (_plot, _least, most) => [0, Math.max(1, most * 1.05)] },
    },
    axes: axes(),
    series: series(),
    hooks: {
      ready: [listen],
      setCursor: [(plot) => onHover(cursorColumn(plot))],
      setSelect: [selectDragged],
    },
  };
}

interface ChartProps {
  found: Buckets;
  width: number;
  onHover: (column: number | undefined) => void;
  onSelect: (period: Period) => void;
}

function Chart({ found, width, onHover, onSelect }: ChartProps) {
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot>(null);
  const current = useRef({ found, onSelect });
  current.current = { found, onSelect };
  const isDark = useIsDark();
  useEffect(() => {
    const select = (period: Period) => current.current.onSelect(period);
    const made = options(width, () => current.current.found, onHover, select);
    const chart = new uPlot(made, columns(found) as uPlot.AlignedData, place.current!);
    plot.current = chart;
    return () => chart.destroy();
  }, [isDark, width]);
  useEffect(() => {
    plot.current?.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
    plot.current?.setData(columns(found) as uPlot.AlignedData);
  }, [found]);
  return <div ref={place} />;
}

function useIsDark(): boolean {
  const query = useMemo(() => matchMedia("(prefers-color-scheme: dark)"), []);
  const [isDark, setIsDark] = useState(query.matches);
  useEffect(() => {
    const change = () => setIsDark(query.matches);
    query.addEventListener("change", change);
    return () => query.removeEventListener("change", change);
  }, []);
  return isDark;
}

function useWidth() {
  const element = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(0);
  useEffect(() => {
    const observer = new ResizeObserver(([entry]) => {
      if (entry) setWidth(Math.floor(entry.contentRect.width));
    });
    observer.observe(element.current!);
    return () => observer.disconnect();
  }, []);
  return { element, width };
}

const dayAndTime = new Intl.DateTimeFormat(undefined, {
  month: "short",
  day: "numeric",
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  hourCycle: "h23",
});

function periodText({ from_ms, to_ms }: Period): string {
  return dayAndTime.formatRange(from_ms, to_ms);
}

function Legend({ counts }: { counts: Counts }) {
  const shown: readonly Severity[] = severities.filter((name) => counts[name] > 0);
  return (
    <ul class="legend" aria-label="Records by severity">
      {shown.map((name) => (
        <li class={name}>
          {name} <b>{counts[name].toLocaleString("en")}</b>
        </li>
      ))}
    </ul>
  );
}

interface HistogramProps {
  view: View;
  /** Whether it stays as it is. */
  still: boolean;
  onSpan: (span: Span) => void;
  onSelect: (period: Period) => void;
}

export function Histogram({ view, still, onSpan, onSelect }: HistogramProps) {
  const { element, width } = useWidth();
  const { found, error } = useBuckets(view, still, width);
  const [hovered, setHovered] = useState<number>();
  const all = useMemo(() => sum(found?.counts ?? []), [found]);
  const column = hovered === undefined ? undefined : found?.counts[hovered];
  const begin_ms = found && hovered !== undefined ? found.begin_ms + hovered * found.step_ms : 0;
  const shown =
    found && (column ? { from_ms: begin_ms, to_ms: begin_ms + found.step_ms } : found.period);
  return (
    <section class="histogram" aria-label="Records over time">
      <header>
        <div class="spans" role="group" aria-label="Time span of the chart">
          {spans.map((span) => (
            <button
              type="button"
              aria-pressed={!view.period && view.span === span}
              onClick={() => onSpan(span)}
            >
              {spanNames[span]}
            </button>
          ))}
        </div>
        <Legend counts={column ?? all} />
        <span class="period quiet">{shown && periodText(shown)}</span>
      </header>
      <div
        class="chart"
        ref={element}
        role="img"
        aria-label={`${total(all)} records, ${all.error + all.critical} of them errors`}
      >
        {found && width > 0 && (
          <Chart found={found} width={width} onHover={setHovered} onSelect={onSelect} />
        )}
      </div>
      {error && error.position === undefined && (
        <p class="failure">No histogram: {visible(error.message)}</p>
      )}
    </section>
  );
}
