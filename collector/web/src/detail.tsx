// An opened row: the whole record, asked for when the row is opened.
import { useEffect, useMemo, useState } from "preact/hooks";

import { get } from "./api";
import { type Field, extraFields, isLong, parseExactly, standardFields } from "./fields";
import { cut, visible, visibleLines } from "./text";

const textMax = 65_536;
const fieldsMax = 200;

function size(length: number): string {
  if (length < 1_000_000) return `${Math.ceil(length / 1_000)} KB`;
  return `${(length / 1_000_000).toFixed(1)} MB`;
}

/** A long text is shown in part until the whole is asked for: laying out a megabyte takes long. */
function LongText({ text }: { text: string }) {
  const [whole, setWhole] = useState(false);
  const isCut = text.length > textMax && !whole;
  return (
    <>
      {visibleLines(isCut ? cut(text, textMax) : text)}
      {isCut && (
        <button type="button" class="more" onClick={() => setWhole(true)}>
          Show all {size(text.length)}
        </button>
      )}
    </>
  );
}

function FieldRow({ field, onFilter }: { field: Field; onFilter: (term: string) => void }) {
  const { path, text, term } = field;
  const name = visible(path.join("."));
  return (
    <div class="field">
      <dt>{cut(name, 200)}</dt>
      <dd>
        <span class="value">
          <LongText text={text} />
        </span>
        {term !== undefined && (
          <span class="filters">
            <button
              type="button"
              title="Only records with this value"
              aria-label={`Only records with ${visible(term)}`}
              onClick={() => onFilter(term)}
            >
              +
            </button>
            <button
              type="button"
              title="Only records without this value"
              aria-label={`Only records without ${visible(term)}`}
              onClick={() => onFilter(`-${term}`)}
            >
              −
            </button>
          </span>
        )}
      </dd>
    </div>
  );
}

function CopyButton({ text }: { text: string }) {
  const [copied, setCopied] = useState(false);
  // Browsers offer it to pages from this machine or by TLS only.
  if (!navigator.clipboard) return null;
  const copy = () => navigator.clipboard.writeText(text).then(() => setCopied(true));
  return (
    <button type="button" onClick={() => void copy()}>
      {copied ? "Copied" : "Copy JSON"}
    </button>
  );
}

function Block({ name, text }: { name: string; text: unknown }) {
  if (typeof text !== "string" || text === "") return null;
  return (
    <section>
      <h3>{name}</h3>
      <pre class={name.toLowerCase()} tabIndex={0} aria-label={name}>
        <LongText text={text} />
      </pre>
    </section>
  );
}

interface WholeProps {
  id: number;
  text: string;
  onFilter: (term: string) => void;
}

function Whole({ id, text, onFilter }: WholeProps) {
  const record = useMemo(() => parseExactly(text), [text]);
  const fields = useMemo(
    () => [...extraFields(record["extra"], fieldsMax + 1), ...standardFields(record)],
    [record],
  );
  const shown = fields.slice(0, fieldsMax);
  return (
    <>
      <div class="actions">
        <CopyButton text={text} />
        <a href={`/api/logs/${id}`} target="_blank" rel="noreferrer">
          Open JSON
        </a>
      </div>
      {isLong(record["message"]) && <Block name="Message" text={record["message"]} />}
      <Block name="Exception" text={record["exception"]} />
      <section>
        <h3>Fields</h3>
        <dl>
          {shown.map((field) => (
            <FieldRow field={field} onFilter={onFilter} />
          ))}
        </dl>
        {fields.length > shown.length && <p>There are more fields: the JSON has them all.</p>}
      </section>
    </>
  );
}

export function Detail({ id, onFilter }: { id: number; onFilter: (term: string) => void }) {
  const [text, setText] = useState<string>();
  const [error, setError] = useState<string>();
  useEffect(() => {
    const abort = new AbortController();
    get(`/api/logs/${id}`, {}, abort.signal).then(setText, (reason: Error) => {
      if (!abort.signal.aborted) setError(reason.message);
    });
    return () => abort.abort();
  }, [id]);
  if (error !== undefined) return <p class="failure">{visible(error)}</p>;
  if (text === undefined) return <p class="quiet">Loading…</p>;
  return <Whole id={id} text={text} onFilter={onFilter} />;
}
