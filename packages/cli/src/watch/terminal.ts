// Takes over the whole terminal window: reads single keys, redraws lines in place, and restores the person's screen at
// the end.

import type { Invocation } from '../invocation.ts';
import { plainAscii } from '../plain-ascii.ts';
import { printableAnswer } from '../printable.ts';

export interface TerminalEvents {
  /** Bytes from the keyboard that arrived together. */
  readonly typed: (chunk: Uint8Array) => void;
  readonly resized: () => void;
  /** The terminal was closed. */
  readonly lost: () => void;
}

// The alternate screen, without a cursor or wrapping: a terminal may count a character as wider than we do.
const enter = '\u001b[?1049h\u001b[?25l\u001b[?7l';
const leave = '\u001b[?7h\u001b[?25h\u001b[?1049l';
const home = '\u001b[H';
// Erases before writing the line. After a line as wide as the window, it would erase the last character.
const eraseLine = '\u001b[2K';
const eraseBelow = '\r\n\u001b[J';

/** Whether there is a terminal that can send single keys and do more than print lines. */
export function hasWindow({ stdin, stdout, dumbTerminal }: Invocation): boolean {
  return stdin.isTTY === true && stdin.setRawMode !== undefined && stdout.isTTY === true && !dumbTerminal;
}

export class TerminalWindow {
  readonly #invocation: Invocation;
  readonly #events: TerminalEvents;
  readonly #notAtExit: () => void;
  #shown = '';
  #closed = false;

  /** Opens it. */
  constructor(invocation: Invocation, events: TerminalEvents) {
    this.#invocation = invocation;
    this.#events = events;
    const { stdin, stdout } = invocation;
    this.#notAtExit = invocation.atExit(() => this.close());
    stdin.on('error', events.lost).on('end', events.lost).on('data', events.typed);
    stdout.on('resize', events.resized);
    stdin.setRawMode?.(true);
    stdin.resume();
    stdout.write(enter);
  }

  /** A terminal that does not know its size reports 0. */
  get size(): { columns: number; rows: number } {
    const { columns, rows } = this.#invocation.stdout;
    return { columns: columns || 80, rows: rows || 24 };
  }

  /** @param lines fit into the size. */
  draw(lines: readonly string[]): void {
    const body = lines.map((line) => eraseLine + printableAnswer(line)).join('\r\n');
    const frame = home + body + (lines.length < this.size.rows ? eraseBelow : '');
    if (this.#closed || frame === this.#shown) return;
    this.#shown = frame;
    const { stdout, showsBoxes } = this.#invocation;
    stdout.write(showsBoxes ? frame : plainAscii(frame));
  }

  /** Makes the next drawing overwrite everything that a resize left behind. */
  forget(): void {
    this.#shown = '';
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    const { stdin, stdout } = this.#invocation;
    this.#notAtExit();
    // The error listener stays, because a closed terminal also fails here.
    stdin.off('data', this.#events.typed).off('end', this.#events.lost);
    stdout.off('resize', this.#events.resized);
    stdin.setRawMode?.(false);
    stdin.pause();
    stdout.write(leave);
  }
}
