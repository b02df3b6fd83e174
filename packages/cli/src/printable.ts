// Makes text from strangers safe for a terminal: it cannot move the cursor, change colours, hide, or reverse the text
// beside it. The daemon already refuses most of such text, but a terminal must not rely on that.

import { UNPRINTABLE, printable as visible } from '@palyra/identity/values';

/** The blocks that Unicode reserves for right-to-left scripts (DerivedBidiClass.txt, "@missing"). */
const rightToLeft = String.raw`\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefe\u{10800}-\u{10fff}\u{1e800}-\u{1efff}`;
const run = `[${rightToLeft}](?:[${rightToLeft}\\p{M}]|[^${rightToLeft}\\p{L}\\p{N}\\p{M}\\u2066-\\u2069]+(?=[${rightToLeft}]))*`;
/** A run of such a script, from its first letter to its last, isolated already or not yet; or a stray isolate sign. */
const runs = new RegExp(`\\u2068(${run})\\u2069|(${run})|[\\u2068\\u2069]`, 'gu');
const isolates = /([\u2068\u2069])/;

/**
 * Makes one line printable. Puts right-to-left words between FIRST STRONG ISOLATE and POP DIRECTIONAL ISOLATE (UAX #9),
 * so that they do not reorder other text. Text that is already printable comes back unchanged.
 */
export function printable(text: string): string {
  const parts = text.split(isolates).map((part) => (isolates.test(part) ? part : visible(part)));
  return parts.join('').replaceAll(runs, (_, isolated?: string, bare?: string) => {
    const words = isolated ?? bare;
    return words ? `\u2068${words}\u2069` : '\uFFFD';
  });
}

/** Makes each line of a text printable. */
export function printableLines(text: string): string {
  return text.split('\n').map(printable).join('\n');
}

/** The escape sequences of `Output` and of QR codes. No others are allowed. */
const esc = '\u001b';
const styles = new RegExp(`(${esc}\\[(?:0|1|2|22|31|33|39|38;5;231;48;5;16)m)`);

/** Makes lines printable for a terminal, and keeps only our own colour sequences. */
export function printableAnswer(text: string): string {
  return text
    .split(styles)
    .map((part, at) => (at % 2 === 1 ? part : printableLines(part)))
    .join('');
}

const escaped = new RegExp(`[${rightToLeft}${UNPRINTABLE}]`, 'gu');

/** JSON on one line. Characters that a terminal would hide or reorder become JSON escapes, with the same meaning. */
export function printableJson(value: unknown): string {
  return escapeJson(JSON.stringify(value));
}

/** The same for a text that is JSON already. */
export function escapeJson(json: string): string {
  return json.replaceAll(escaped, (character) =>
    character
      .split('')
      .map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
      .join(''),
  );
}
