// What is asked for. It stands in the address, so that a view can be shared and the browser's back
// button leads to the one before.

export const spans = ["15m", "1h", "24h", "7d", "all"] as const;
export type Span = (typeof spans)[number];

export const spanNames: Record<Span, string> = {
  "15m": "15 min",
  "1h": "1 h",
  "24h": "24 h",
  "7d": "7 days",
  all: "all",
};

const minute_ms = 60_000;
export const spanLengths_ms: Record<Span, number> = {
  "15m": 15 * minute_ms,
  "1h": 60 * minute_ms,
  "24h": 24 * 60 * minute_ms,
  "7d": 7 * 24 * 60 * minute_ms,
  all: Infinity,
};

/** A part of the time, from `from_ms` to before `to_ms`. */
export interface Period {
  from_ms: number;
  to_ms: number;
}

export interface View {
  query: string;
  /** How far the histogram looks back from now. */
  span: Span;
  /** What was selected in it: then the table shows only this, and nothing new. */
  period?: Period;
}

/** As the collector reads times. */
export function iso(time_ms: number): string {
  return new Date(time_ms).toISOString();
}

function parsePeriod(parameters: URLSearchParams): Period | undefined {
  const from_ms = Date.parse(parameters.get("from") ?? "");
  const to_ms = Date.parse(parameters.get("to") ?? "");
  return from_ms < to_ms ? { from_ms, to_ms } : undefined;
}

export function parseView(fragment: string): View {
  const parameters = new URLSearchParams(fragment.replace(/^#/, ""));
  const period = parsePeriod(parameters);
  return {
    query: parameters.get("query") ?? "",
    span: spans.find((span) => span === parameters.get("span")) ?? "1h",
    ...(period && { period }),
  };
}

export function formatView({ query, span, period }: View): string {
  const parameters = new URLSearchParams();
  if (query !== "") parameters.set("query", query);
  if (span !== "1h") parameters.set("span", span);
  if (period) {
    parameters.set("from", iso(period.from_ms));
    parameters.set("to", iso(period.to_ms));
  }
  return `#${parameters}`;
}
