// Feed: the records of the table. Loads the newest, follows what arrives, and keeps a bounded
// number of them. One Feed serves one view; the owner draws it again whenever `changed` is called.
import { ApiError, apiError, getPage, url } from "./api";
import { type Summary, summary } from "./record";
import { type View, iso } from "./view";

const pageSize = 200;
/** How many rows there are while records arrive, and how many when older ones were asked for. */
const liveRows = 1_000;
export const mostRows = 5_000;
/** Nobody reads more than ten tables a second; and two thirds of the time stay for the reader. */
const shortestPause_ms = 100;
const pauseShare = 2;
const longestRetry_ms = 30_000;

export type Connection = "loading" | "live" | "reconnecting" | "still";

export class Feed {
  /** The newest first; replaced, never changed. */
  rows: readonly Summary[] = [];
  open: ReadonlySet<number> = new Set();
  connection: Connection = "loading";
  paused = false;
  /** How many have arrived since the pause. */
  arrived = 0;
  /** How many the collector left out because the page did not keep up. */
  missed = 0;
  error: ApiError | undefined;
  /** Whether there are older records, and whether they are on their way. */
  next: string | null = null;
  loadingOlder = false;

  private waiting: Summary[] = [];  // the newest last
  private waitingCut = false;  // older ones of them are not kept
  private lastId = "0";
  private source: EventSource | undefined;
  private readonly abort = new AbortController();
  private retries = 0;
  private drawWanted = false;
  private drawing = false;
  private pauseEnds_ms = 0;

  constructor(
    private readonly view: View,
    private readonly changed: () => void,
  ) {
    void this.load();
  }

  close(): void {
    this.abort.abort();
    this.source?.close();
  }

  pause(): void {
    this.paused = true;
    this.changed();
  }

  resume(): void {
    this.paused = false;
    this.arrived = 0;
    this.showWaiting();
    this.changed();
  }

  toggle(id: number): void {
    const open = new Set(this.open);
    if (!open.delete(id)) open.add(id);
    this.open = open;
    this.changed();
  }

  closeRows(): void {
    this.open = new Set();
    this.changed();
  }

  /** Rows would move away below the reader, so this is a pause, too. */
  async loadOlder(): Promise<void> {
    if (this.next === null || this.loadingOlder) return;
    this.paused ||= this.connection !== "still";
    this.loadingOlder = true;
    this.changed();
    try {
      const page = await getPage(this.pageParameters(this.next), this.abort.signal);
      this.rows = this.rows.concat(page.records);
      this.next = page.next;
      this.error = undefined;
    } catch (error) {
      this.error = apiError(error);
    }
    this.loadingOlder = false;
    this.changed();
  }

  private pageParameters(before?: string) {
    const { query, period } = this.view;
    const times = period && { from: iso(period.from_ms), to: iso(period.to_ms) };
    return { query, ...times, before, limit: pageSize };
  }

  private async load(): Promise<void> {
    try {
      const page = await getPage(this.pageParameters(), this.abort.signal);
      this.rows = page.records;
      this.next = page.next;
      this.error = undefined;
      this.retries = 0;
      this.lastId = String(page.records[0]?.id ?? 0);
    } catch (error) {
      if (this.failed(error)) this.retry(() => void this.load());
      return;
    }
    if (this.view.period) {
      this.connection = "still";
    } else {
      this.follow();
    }
    this.changed();
  }

  private follow(): void {
    const { query } = this.view;
    const source = new EventSource(url("/api/logs/stream", { query, after: this.lastId }));
    this.source = source;
    source.onopen = () => {
      this.connection = "live";
      this.error = undefined;
      this.retries = 0;
      this.changed();
    };
    source.onmessage = (event) => this.take(event);
    source.addEventListener("missed", (event) => {
      this.missed += JSON.parse(event.data).missed;
      this.scheduleDraw();
    });
    source.onerror = () => {
      this.connection = "reconnecting";
      this.changed();
      // Otherwise the browser tries again by itself.
      if (source.readyState === EventSource.CLOSED) void this.streamRefused();
    };
  }

  private take(event: MessageEvent<string>): void {
    this.lastId = event.lastEventId;
    this.waiting.push(summary(JSON.parse(event.data)));
    if (this.waiting.length >= 2 * liveRows) {
      this.waiting = this.waiting.slice(-liveRows);
      this.waitingCut = true;
    }
    if (this.paused) this.arrived += 1;
    this.scheduleDraw();
  }

  /** EventSource does not tell why, so the same question is asked where the answer can be read. */
  private async streamRefused(): Promise<void> {
    try {
      await getPage({ query: this.view.query, limit: 1 }, this.abort.signal);
      this.failed(new ApiError(503, "the collector takes no further stream"));
    } catch (error) {
      if (!this.failed(error)) return;
    }
    this.retry(() => this.follow());
  }

  /** Whether to try again. */
  private failed(error: unknown): boolean {
    if (this.abort.signal.aborted) return false;
    this.error = apiError(error);
    this.connection = this.error.mayPass ? "reconnecting" : "still";
    this.changed();
    return this.error.mayPass;
  }

  private retry(again: () => void): void {
    const delay_ms = Math.min(longestRetry_ms, 1_000 * 2 ** this.retries);
    this.retries += 1;
    const timer = setTimeout(again, delay_ms * (0.75 + Math.random() / 2));
    this.abort.signal.addEventListener("abort", () => clearTimeout(timer));
  }

  private scheduleDraw(): void {
    this.drawWanted = true;
    if (this.drawing) return;
    this.drawing = true;
    const pause_ms = Math.max(0, this.pauseEnds_ms - performance.now());
    setTimeout(() => requestAnimationFrame(() => this.show()), pause_ms);
  }

  private show(): void {
    this.drawWanted = false;
    if (this.abort.signal.aborted) return;
    if (!this.paused && this.takesOpenRow()) {
      this.paused = true;
      this.arrived = this.waiting.length;
    }
    if (!this.paused) this.showWaiting();
    const begin_ms = performance.now();
    this.changed();
    // The browser comes back when it has drawn.
    setTimeout(() => {
      const end_ms = performance.now();
      this.drawing = false;
      this.pauseEnds_ms = end_ms + Math.max(shortestPause_ms, pauseShare * (end_ms - begin_ms));
      if (this.drawWanted) this.scheduleDraw();
    });
  }

  /** Whether a row that somebody reads would make room for the new ones. */
  private takesOpenRow(): boolean {
    const staying = Math.max(0, liveRows - this.waiting.length);
    return this.rows.slice(staying).some(({ id }) => this.open.has(id));
  }

  private showWaiting(): void {
    const rows = this.waiting.toReversed().concat(this.rows);
    this.rows = rows.slice(0, liveRows);
    if (this.waitingCut || rows.length > liveRows) this.next = String(this.rows.at(-1)?.id);
    this.waiting = [];
    this.waitingCut = false;
  }
}
