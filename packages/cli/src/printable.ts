// Text that a stranger may have chosen, made safe for a terminal: it cannot move the cursor, change colours, hide, or turn
// the text beside it around. The daemon refuses most of it already; a terminal is not the place to rely on that.

import { UNPRINTABLE, printable as visible } from '@palyra/identity/values';

/** The blocks that Unicode keeps for right-to-left scripts (DerivedBidiClass.txt, "@missing"). */
const rightToLeft = String.raw`\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefe\u{10800}-\u{10fff}\u{1e800}-\u{1efff}`;
const run = `[${rightToLeft}](?:[${rightToLeft}\\p{M}]|[^${rightToLeft}\\p{L}\\p{N}\\p{M}\\u2066-\\u2069]+(?=[${rightToLeft}]))*`;
/** From the first letter of such a script to the last before another script: isolated already, or not yet. Or a stray sign. */
const runs = new RegExp(`\\u2068(${run})\\u2069|(${run})|[\\u2068\\u2069]`, 'gu');
const isolates = /([\u2068\u2069])/;

/**
 * One line. Right-to-left words are set between FIRST STRONG ISOLATE and POP DIRECTIONAL ISOLATE (UAX #9), so that they
 * order themselves alone. Text that was made printable before comes back as it is.
 */
export function printable(text: string): string {
  const parts = text.split(isolates).map((part) => (isolates.test(part) ? part : visible(part)));
  return parts.join('').replaceAll(runs, (_, isolated?: string, bare?: string) => {
    const words = isolated ?? bare;
    return words ? `\u2068${words}\u2069` : '\uFFFD';
  });
}

/** The same for text of several lines. */
export function printableLines(text: string): string {
  return text.split('\n').map(printable).join('\n');
}

/** What `Output` paints with and a QR code is drawn with; nobody else's. */
const esc = '\u001b';
const styles = new RegExp(`(${esc}\\[(?:0|1|2|22|31|33|39|38;5;231;48;5;16)m)`);

/** Several lines as they go to a terminal, whatever they are made of: nothing is obeyed but our own colours. */
export function printableAnswer(text: string): string {
  return text
    .split(styles)
    .map((part, at) => (at % 2 === 1 ? part : printableLines(part)))
    .join('');
}

const escaped = new RegExp(`[${rightToLeft}${UNPRINTABLE}]`, 'gu');

/** JSON on one line. What a terminal would hide or turn around is written as its escape, which means the same. */
export function printableJson(value: unknown): string {
  return JSON.stringify(value).replaceAll(escaped, (character) =>
    character
      .split('')
      .map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
      .join(''),
  );
}
