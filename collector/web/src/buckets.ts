// The collector's histogram as the columns of a chart: every bucket, empty ones too, and for each
// severity how high its bar reaches.
import type { Histogram } from "./api";
import { type Severity, severities, severity } from "./levels";
import type { Period } from "./view";

export type Counts = Record<Severity, number>;

export interface Buckets {
  period: Period;
  step_ms: number;
  begin_ms: number;
  /** One for each step from `begin_ms`. */
  counts: Counts[];
}

export function noCounts(): Counts {
  return { critical: 0, error: 0, warning: 0, info: 0, debug: 0, other: 0 };
}

export function buckets({ from, to, step_ms, buckets }: Histogram): Buckets {
  const period = { from_ms: Date.parse(from), to_ms: Date.parse(to) };
  const begin_ms = Math.floor(period.from_ms / step_ms) * step_ms;
  const length = Math.ceil((period.to_ms - begin_ms) / step_ms);
  const counts = Array.from({ length }, noCounts);
  for (const bucket of buckets) {
    const column = counts[Math.round((Date.parse(bucket.time) - begin_ms) / step_ms)];
    if (!column) continue;
    for (const [level, count] of Object.entries(bucket.counts)) column[severity(level)] += count;
  }
  return { period, step_ms, begin_ms, counts };
}

export function sum(all: readonly Counts[]): Counts {
  const total = noCounts();
  for (const counts of all) {
    for (const name of severities) total[name] += counts[name];
  }
  return total;
}

export function total(counts: Counts): number {
  return severities.reduce((so_far, name) => so_far + counts[name], 0);
}

/** Of the highest bar: so much is at least seen of a severity, be it one error among thousands. */
const leastShare = 0.025;

/** [times in seconds, then for each severity from the last to the first its upper edge]. */
export function columns({ begin_ms, step_ms, counts }: Buckets): number[][] {
  const least = Math.max(0, ...counts.map(total)) * leastShare;
  const times = counts.map((_, i) => (begin_ms + i * step_ms) / 1_000);
  const edges = severities.map((_, last) =>
    counts.map((each) =>
      severities
        .slice(0, last + 1)
        .reduce((edge, name) => edge + (each[name] > 0 ? Math.max(each[name], least) : 0), 0),
    ),
  );
  return [times, ...edges.reverse()];
}
