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

interface Keys {
  search: () => void;
  pause: () => void;
  close: () => void;
}

/** Keys that work wherever nothing else takes them. */
function useKeys(keys: Keys): void {
  const current = useRef(keys);
  current.current = keys;
  useEffect(() => {
    const press = (event: KeyboardEvent) => {
      const element = event.target as HTMLElement;
      const isTaken = element.closest("input, textarea, select") !== null;
      if (isTaken || event.ctrlKey || event.metaKey || event.altKey) return;
      const actions: Record<string, keyof Keys> = { "/": "search", p: "pause", Escape: "close" };
      const action = actions[event.key];
      if (!action) return;
      event.preventDefault();
      current.current[action]();
    };
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
  return <p class="end">{isAll ? "No records yet: they show here as they arrive." : "No records found."}</p>;
}

function withTerm(query: string, term: string): string {
  return query.split(" ").includes(term) ? query : `${query} ${term}`.trim();
}

export function App() {
  const [view, go] = useView();
  const feed = useFeed(view);
  const input = useRef<HTMLInputElement>(null);
  const current = useRef(view);
  current.current = view;
  // Rows keep the first of these: they must not close over what changes.
  const filter = useRef((term: string) => {
    go({ ...current.current, query: withTerm(current.current.query, term) });
  });
  const toggle = useRef((id: number) => toggleOf.current?.toggle(id));
  const toggleOf = useRef(feed);
  toggleOf.current = feed;
  const { period: _, ...withoutPeriod } = view;
  useKeys({
    search: () => input.current?.focus(),
    pause: () => (feed?.paused ? feed.resume() : feed?.pause()),
    close: () => feed?.closeRows(),
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
              onToggle={toggle.current}
              onFilter={filter.current}
            />
            <End feed={feed} view={view} />
          </>
        )}
      </main>
    </>
  );
}
