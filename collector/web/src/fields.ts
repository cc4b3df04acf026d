// A record taken apart for reading: each field with its path and its value as text, and the term
// of the query language that finds it.

/** Numbers as they were written: JSON.parse alone would round those beyond 2^53. */
interface RawJson {
  rawJSON: string;
}
interface ExactJson {
  parse(text: string, revive: (key: string, value: unknown, context?: Source) => unknown): unknown;
  rawJSON?(text: string): RawJson;
  isRawJSON?(value: unknown): value is RawJson;
}
interface Source {
  source?: string;
}
const exact = JSON as unknown as ExactJson;

export type JsonObject = Record<string, unknown>;

export function parseExactly(text: string): JsonObject {
  return exact.parse(text, (_, value, context) => {
    const source = context?.source;
    const isRounded = typeof value === "number" && source !== undefined && source !== String(value);
    return isRounded && exact.rawJSON ? exact.rawJSON(source) : value;
  }) as JsonObject;
}

function isRaw(value: unknown): value is RawJson {
  return exact.isRawJSON?.(value) ?? false;
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !isRaw(value);
}

export interface Field {
  path: readonly string[];
  /** Not yet made visible. */
  text: string;
  /** A term that finds records with this value; nothing where the language has none. */
  term?: string;
}

/** Not among the fields: they have a place of their own. */
const apart = ["id", "message", "exception", "extra"];
const termNames: Record<string, string> = { logger_name: "logger" };
/** Names that mean a standard field, whatever is in `extra`. */
const taken = ["message", "exception", "level", "logger", "logger_name", "host"];

const deepest = 6;
const termMax = 200;

function quoted(text: string): string {
  return /^[\w./@+-]+$/.test(text) ? text : `"${text.replace(/["\\]/g, "\\$&")}"`;
}

function term(path: readonly string[], text: string): string | undefined {
  const isName = path.every((name) => /^[A-Za-z_][\w-]*$/.test(name));
  if (!isName || text === "" || text.length > termMax || /[\n\r\0]/.test(text)) return undefined;
  return `${path.join(".")}:${quoted(text)}`;
}

/** `names`: by which the query language knows it, if any. */
function field(path: readonly string[], value: unknown, names?: readonly string[]): Field {
  if (typeof value === "object" && value !== null && !isRaw(value)) {
    return { path, text: JSON.stringify(value, null, 2) };
  }
  const text = typeof value === "string" ? value : isRaw(value) ? value.rawJSON : String(value);
  const found = names && term(names, text);
  return { path, text, ...(found !== undefined && { term: found }) };
}

/** Whether a message needs a place of its own. */
export function isLong(message: unknown): boolean {
  return typeof message === "string" && (message.length > 100 || message.includes("\n"));
}

/** The fields beside exception, extra, and a long message. */
export function standardFields(record: JsonObject): Field[] {
  const { message } = record;
  const first = isLong(message) ? [] : [field(["message"], message, ["message"])];
  const others = Object.entries(record)
    .filter(([name]) => !apart.includes(name))
    .map(([name, value]) => field([name], value, [termNames[name] ?? name]));
  return [...first, ...others];
}

/** At most `max` of the fields of `extra`, what is nested as paths. */
export function extraFields(extra: unknown, max: number): Field[] {
  const fields: Field[] = [];
  const add = (path: readonly string[], value: unknown): void => {
    if (fields.length >= max) return;
    if (isObject(value) && path.length < deepest && Object.keys(value).length > 0) {
      for (const [name, each] of Object.entries(value)) add([...path, name], each);
    } else {
      fields.push(field(path, value, taken.includes(path[0] ?? "") ? undefined : path));
    }
  };
  if (isObject(extra)) {
    for (const [name, value] of Object.entries(extra)) add([name], value);
  } else if (extra !== undefined) {
    add(["extra"], extra);
  }
  return fields;
}
