// Text from elsewhere, made harmless for a reader: what is invisible or would reorder its
// surroundings becomes a visible escape, as in the command's output (cli/terminal_text.h).

// Control and format characters, separators of lines and halves of pairs. Joiners are left: scripts
// and emoji need them, and they move nothing.
const hidden = /(?![\u200c\u200d])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;
const names: Record<string, string> = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };

function escape(character: string): string {
  const code = character.codePointAt(0) ?? 0;
  const hex = code.toString(16);
  if (code < 0x100) return names[character] ?? `\\x${hex.padStart(2, "0")}`;
  return code > 0xffff ? `\\u{${hex}}` : `\\u${hex.padStart(4, "0")}`;
}

/** One line. */
export function visible(text: string): string {
  return text.replace(hidden, escape);
}

/** The same, but lines and tabs stay what they are. */
export function visibleLines(text: string): string {
  return text.replace(hidden, (each) => (each === "\n" || each === "\t" ? each : escape(each)));
}

/** The first `max` code units, and not half of a pair. */
export function cut(text: string, max: number): string {
  if (text.length <= max) return text;
  const isPair = /[\ud800-\udbff]/.test(text.charAt(max - 1));
  return text.slice(0, isPair ? max - 1 : max);
}

/** A copy that does not keep the text alive which it was cut from. */
export function detached(text: string): string {
  return JSON.parse(JSON.stringify(text)) as string;
}
