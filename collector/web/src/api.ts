// What the page asks the collector (docs/collector.md).
import { type Summary, summary } from "./record";

export type Parameters = Record<string, string | number | undefined>;

/** An answer that is an error, or none (status 0). */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    message: string,
    /** Of a query that cannot be understood: where, in code points. */
    readonly position?: number,
    readonly length?: number,
  ) {
    super(message);
  }

  /** Whether asking again may help. */
  get mayPass(): boolean {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

export function apiError(error: unknown): ApiError {
  return error instanceof ApiError ? error : new ApiError(0, String(error));
}

export function url(path: string, parameters: Parameters = {}): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== undefined && value !== "") query.set(name, String(value));
  }
  // Not relative to the document: its address may hold a password, which fetch() refuses.
  return `${location.origin}${path}${query.size > 0 ? `?${query}` : ""}`;
}

function errorOf(status: number, text: string): ApiError {
  try {
    const { error, position, length } = JSON.parse(text);
    return new ApiError(status, String(error), position, length);
  } catch {
    return new ApiError(status, `the collector answered ${status}`);
  }
}

/** The text of an answer of 200; throws ApiError, or what fetch() throws where `signal` aborts. */
export async function get(
  path: string,
  parameters: Parameters,
  signal: AbortSignal,
): Promise<string> {
  let response: Response;
  let text: string;
  try {
    response = await fetch(url(path, parameters), { signal });
    text = await response.text();
  } catch (error) {
    if (signal.aborted) throw error;
    throw new ApiError(0, "the collector cannot be reached");
  }
  if (!response.ok) throw errorOf(response.status, text);
  return text;
}

export interface Page {
  /** The newest first. */
  records: Summary[];
  next: string | null;
}

export async function getPage(parameters: Parameters, signal: AbortSignal): Promise<Page> {
  const { records, next } = JSON.parse(await get("/api/logs", parameters, signal));
  return { records: records.map(summary), next };
}

export interface Histogram {
  from: string;
  to: string;
  step_ms: number;
  buckets: { time: string; counts: Record<string, number> }[];
}

export async function getHistogram(
  parameters: Parameters,
  signal: AbortSignal,
): Promise<Histogram> {
  return JSON.parse(await get("/api/histogram", parameters, signal));
}
