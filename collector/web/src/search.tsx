// The search box. A query that cannot be understood is shown again with its wrong place marked.
import type { RefObject } from "preact";
import { useEffect, useState } from "preact/hooks";

import type { ApiError } from "./api";
import { visible } from "./text";

const examples: readonly (readonly [term: string, finds: string])[] = [
  ["timeout", "the word, in message, logger or exception"],
  ['"connection reset"', "words beside each other"],
  ["time*", "words that begin so"],
  ["level>=WARNING", "this level or a more severe one"],
  ["logger:app.*", "loggers whose names begin so"],
  ["host:web-1", "records of this host"],
  ["user_id=123", "an extra field with this value"],
  ["request.path=/orders", "a field within a field"],
  ["-level:DEBUG", "what the rest of the term does not find"],
];

function Help() {
  return (
    <details
      class="help"
      onKeyDown={(event) => {
        if (event.key === "Escape") event.currentTarget.open = false;
      }}
    >
      <summary aria-label="How to search">?</summary>
      <div class="popover">
        <p>A record is found when all terms match.</p>
        <dl>
          {examples.map(([term, finds]) => (
            <>
              <dt>{term}</dt>
              <dd>{finds}</dd>
            </>
          ))}
        </dl>
        <p>
          <kbd>/</kbd> search, <kbd>p</kbd> pause or go on, <kbd>Esc</kbd> clear, close rows
        </p>
      </div>
    </details>
  );
}

function WrongPlace({ query, error }: { query: string; error: ApiError }) {
  const characters = [...query];
  const begin = error.position ?? 0;
  const end = begin + Math.max(1, error.length ?? 1);
  const part = (from: number, to?: number) => visible(characters.slice(from, to).join(""));
  return (
    <code>
      {part(0, begin)}
      <mark>{part(begin, end) || "\u00a0"}</mark>
      {part(end)}
    </code>
  );
}

interface SearchProps {
  query: string;
  error: ApiError | undefined;
  input: RefObject<HTMLInputElement | null>;
  onSearch: (query: string) => void;
}

export function Search({ query, error, input, onSearch }: SearchProps) {
  const [text, setText] = useState(query);
  useEffect(() => setText(query), [query]);
  const isWrong = error?.position !== undefined;
  return (
    <form
      role="search"
      onSubmit={(event) => {
        event.preventDefault();
        onSearch(text.trim());
      }}
    >
      <div class="box">
        <input
          ref={input}
          type="search"
          aria-label="Search"
          aria-invalid={isWrong}
          aria-describedby="search-error"
          placeholder="Search: timeout level>=WARNING user_id=123"
          autocomplete="off"
          autocapitalize="off"
          spellcheck={false}
          value={text}
          onInput={(event) => setText(event.currentTarget.value)}
          onKeyDown={(event) => {
            if (event.key !== "Escape") return;
            event.preventDefault();
            setText("");
            onSearch("");
          }}
        />
        <Help />
      </div>
      <div id="search-error" role="alert">
        {isWrong && (
          <p class="failure">
            <WrongPlace query={query} error={error} /> {visible(error.message)}
          </p>
        )}
      </div>
    </form>
  );
}
