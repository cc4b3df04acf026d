// Levels by severity: the same grouping colours rows, names and bars.

/** The most severe first, which stands at the foot of a bar. */
export const severities = ["critical", "error", "warning", "info", "debug", "other"] as const;
export type Severity = (typeof severities)[number];

const ranks: Record<string, number> = {
  TRACE: 5,
  DEBUG: 10,
  INFO: 20,
  WARN: 30,
  WARNING: 30,
  ERR: 40,
  ERROR: 40,
  CRITICAL: 50,
  FATAL: 50,
};

/** As in docs/search.md: names that handlers use, "Level 35", or a number. */
function rank(level: string): number | undefined {
  const name = level.toUpperCase();
  if (Object.hasOwn(ranks, name)) return ranks[name];
  const digits = /^(?:LEVEL )?(\d+)$/.exec(name)?.[1];
  return digits === undefined ? undefined : Number(digits);
}

export function severity(level: string): Severity {
  const value = rank(level);
  if (value === undefined) return "other";
  if (value < 20) return "debug";
  if (value < 30) return "info";
  if (value < 40) return "warning";
  return value < 50 ? "error" : "critical";
}
