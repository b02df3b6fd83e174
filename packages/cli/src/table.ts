// Tables and fields for people, fitted to the terminal. Makes every cell printable.

import { charactersOf } from '@palyra/identity/values';
import stringWidth from 'fast-string-width';
import { printable } from './printable.ts';

const gap = '  ';
const narrowest = 4;
/** A narrower cell shows too little to be useful. */
const readable = 8;

/**
 * @param keep titles of the columns to shorten last.
 * @param spare titles of the columns to leave out, in this order, when there is not enough room.
 * @param columns the terminal's width; Infinity when the output is no terminal.
 */
export function table(
  titles: readonly string[],
  rows: readonly (readonly string[])[],
  {
    columns,
    keep = [],
    spare = [],
  }: {
    readonly columns: number;
    readonly keep?: readonly string[];
    readonly spare?: readonly string[];
  },
): string {
  const cells = [titles, ...rows].map((row) => row.map(printable));
  const widths = titles.map((_, at) => widestOf(cells.map((row) => width(row[at]!))));
  const least = widths.map((each, at) => (keep.includes(titles[at]!) ? each : Math.min(each, readable)));
  const [first, ...rest] = spare;
  if (first && least.reduce((sum, each) => sum + each, gap.length * (widths.length - 1)) > columns) {
    const at = titles.indexOf(first);
    const others = rows.map((row) => row.toSpliced(at, 1));
    return table(titles.toSpliced(at, 1), others, { columns, keep, spare: rest });
  }
  const excess = () => widths.reduce((sum, each) => sum + each, gap.length * (widths.length - 1)) - columns;
  for (const mayShrink of [(title: string) => !keep.includes(title), () => true]) {
    while (excess() > 0) {
      const open = widths.map((each, at) => (mayShrink(titles[at]!) ? each : 0));
      const widest = widestOf(open);
      if (widest <= narrowest) break;
      widths[open.indexOf(widest)]! -= 1;
    }
  }
  return cells
    .map((row) =>
      shorten(
        row
          .map((cell, at) => pad(shorten(cell, widths[at]!), widths[at]!))
          .join(gap)
          .trimEnd(),
        columns,
      ),
    )
    .join('\n');
}

/** Aligned `label  value` lines, without undefined or empty values. */
export function fields(pairs: readonly (readonly [label: string, value: string | undefined])[]): string {
  const shown = pairs.filter(([, value]) => value);
  const widest = widestOf(shown.map(([label]) => width(label)));
  return shown.map(([label, value]) => `  ${pad(label, widest)}  ${printable(value!)}`).join('\n');
}

/** Draws a box around text that a person must read or type exactly. */
export function box(text: string): string {
  const shown = printable(text);
  const line = '─'.repeat(width(shown) + 6);
  return `  ┌${line}┐\n  │   ${shown}   │\n  └${line}┘`;
}

/** Makes text printable and cuts it to one line of this width. */
export function fit(text: string, columns: number): string {
  return shorten(printable(text), columns);
}

/** Makes text printable and breaks it at spaces; cuts a word longer than a line. */
export function wrap(text: string, columns: number): string[] {
  const lines: string[] = [];
  for (const word of printable(text).split(' ')) {
    const longer = lines.length > 0 ? `${lines.at(-1)} ${word}` : undefined;
    if (longer !== undefined && width(longer) <= columns) lines[lines.length - 1] = longer;
    else lines.push(shorten(word, columns));
  }
  return lines;
}

function shorten(text: string, limit: number): string {
  if (width(text) <= limit) return text;
  if (limit < 1) return '';
  let shown = '';
  for (const { segment } of charactersOf(text)) {
    if (width(shown + segment) > limit - 1) break;
    shown += segment;
  }
  const isOpen = shown.lastIndexOf(isolate) > shown.lastIndexOf(popIsolate);
  return `${shown}${isOpen ? popIsolate : ''}…`;
}

/** FIRST STRONG ISOLATE and POP DIRECTIONAL ISOLATE, which printable.ts adds; they have no width. */
const [isolate, popIsolate] = ['\u2068', '\u2069'];

function width(text: string): number {
  return stringWidth(text.replaceAll(/[\u2068\u2069]/g, ''));
}

/** A large fleet has more rows than `Math.max` takes arguments. */
const widestOf = (widths: readonly number[]) => widths.reduce((widest, each) => Math.max(widest, each), 0);

function pad(text: string, to: number): string {
  return text + ' '.repeat(Math.max(0, to - width(text)));
}
