// The page: search, histogram, table, and what holds them together.
import { useEffect, useReducer, useRef, useState } from "preact/hooks";

import { Feed, mostRows } from "./feed";
import { Histogram } from "./histogram";
import { Search } from "./search";
import { Table } from "./table";
import { visible } from "./text";
import { type View, formatView, parseView } from "./view";

/** The view that the address names, and a function that goes to another. */
function useView(): [View, (view: View) => void] {
  const [view, setView] = useState(() => parseView(location.hash));
  useEffect(() => {
    const read = () => setView(parseView(location.hash));
    addEventListener("hashchange", read);
    return () => removeEventListener("hashchange", read);
  }, []);
  return [view, (next) => location.assign(formatView(next))];
}

/** A function that stays the same and does what `current` does now: for what is drawn once. */
function useStable<Argument>(current: (argument: Argument) => void): (argument: Argument) => void {
  const latest = useRef(current);
  latest.current = current;
  return useRef((argument: Argument) => latest.current(argument)).current;
}

function useFeed(view: View): Feed | undefined {
  const [, draw] = useReducer((count: number) => count + 1, 0);
  const feed = useRef<Feed>(undefined);
  useEffect(() => {
    const opened = new Feed(view, () => draw(undefined));
    feed.current = opened;
    draw(undefined);
    return () => opened.close();
  }, [view.query, view.period?.from_ms, view.period?.to_ms]);
  return feed.current;
}

/** Keys that work wherever nothing else takes them. */
function useKeys(keys: Record<string, () => void>): void {
  const press = useStable((event: KeyboardEvent) => {
    const isTaken = (event.target as HTMLElement).closest("input") !== null;
    const action = Object.hasOwn(keys, event.key) ? keys[event.key] : undefined;
    if (!action || isTaken || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    action();
  });
  useEffect(() => {
    addEventListener("keydown", press);
    return () => removeEventListener("keydown", press);
  }, []);
}

function statusText(feed: Feed | undefined): string {
  if (!feed || feed.connection === "loading") return "Loading";
  if (feed.connection === "reconnecting") return "Reconnecting";
  if (feed.connection === "still") return "Not live";
  return feed.paused ? "Paused" : "Live";
}

function Status({ feed }: { feed: Feed | undefined }) {
  const text = statusText(feed);
  return (
    <span class={`status ${text.toLowerCase().replace(" ", "-")}`} role="status">
      {text}
    </span>
  );
}

function plural(count: number, one: string): string {
  return `${count.toLocaleString("en")} ${one}${count === 1 ? "" : "s"}`;
}

function PauseButton({ feed }: { feed: Feed }) {
  if (feed.connection === "still") return null;
  if (!feed.paused) {
    return (
      <button type="button" title="Key: p" onClick={() => feed.pause()}>
        Pause
      </button>
    );
  }
  return (
    <button type="button" class="primary" title="Key: p" onClick={() => feed.resume()}>
      Go on{feed.arrived > 0 && `: ${plural(feed.arrived, "new record")}`}
    </button>
  );
}

function Notices({ feed }: { feed: Feed }) {
  return (
    <>
      {feed.error && feed.error.position === undefined && (
        <p class="failure" role="alert">
          {visible(feed.error.message)}
        </p>
      )}
      {feed.missed > 0 && (
        <p class="notice">
          {plural(feed.missed, "record")} left out: they arrived faster than this page takes them. A
          search finds them.
        </p>
      )}
    </>
  );
}

/** Where the table ends, and why. */
function End({ feed, view }: { feed: Feed; view: View }) {
  if (feed.connection === "loading") return <p class="end">Loading…</p>;
  if (feed.rows.length >= mostRows) {
    return <p class="end">There are older records: search, or select a time above.</p>;
  }
  if (feed.next !== null) {
    return (
      <p class="end">
        <button type="button" disabled={feed.loadingOlder} onClick={() => void feed.loadOlder()}>
          {feed.loadingOlder ? "Loading…" : "Load older records"}
        </button>
      </p>
    );
  }
  if (feed.rows.length > 0) return <p class="end">These are all.</p>;
  if (feed.error) return null;
  const isAll = view.query === "" && !view.period;
  const why = isAll ? "No records yet: they show here as they arrive." : "No records found.";
  return <p class="end">{why}</p>;
}

function withTerm(query: string, term: string): string {
  return query.split(" ").includes(term) ? query : `${query} ${term}`.trim();
}

export function App() {
  const [view, go] = useView();
  const feed = useFeed(view);
  const input = useRef<HTMLInputElement>(null);
  const toggle = useStable((id: number) => feed?.toggle(id));
  const filter = useStable((term: string) => go({ ...view, query: withTerm(view.query, term) }));
  const { period: _, ...withoutPeriod } = view;
  useKeys({
    "/": () => input.current?.focus(),
    p: () => (feed?.paused ? feed.resume() : feed?.pause()),
    Escape: () => feed?.closeRows(),
  });
  return (
    <>
      <header class="top">
        <h1>Log records</h1>
        <Search
          query={view.query}
          error={feed?.error}
          input={input}
          onSearch={(query) => go({ ...view, query })}
        />
        <div class="controls">
          <Status feed={feed} />
          {view.period && (
            <button type="button" class="primary" onClick={() => go(withoutPeriod)}>
              Back to live
            </button>
          )}
          {feed && <PauseButton feed={feed} />}
        </div>
      </header>
      <main>
        <Histogram
          view={view}
          still={view.period !== undefined || (feed?.paused ?? false)}
          onSpan={(span) => go({ ...withoutPeriod, span })}
          onSelect={(period) => go({ ...view, period })}
        />
        {feed && (
          <>
            <Notices feed={feed} />
            <Table
              rows={feed.rows}
              open={feed.open}
              onToggle={toggle}
              onFilter={filter}
            />
            <End feed={feed} view={view} />
          </>
        )}
      </main>
    </>
  );
}
