// The whole window of a terminal, borrowed: keys come one by one, lines are redrawn in place, and the person's own
// screen is back when it is closed.

import type { Invocation } from '../invocation.ts';
import { printableAnswer } from '../printable.ts';

export interface TerminalEvents {
  /** Bytes of the keyboard, as they were sent together. */
  readonly typed: (chunk: Uint8Array) => void;
  readonly resized: () => void;
  /** Nobody is there any more. */
  readonly lost: () => void;
}

// The other screen, without a cursor. Lines are not wrapped: a terminal may think a character wider than we do.
const enter = '\u001b[?1049h\u001b[?25l\u001b[?7l';
const leave = '\u001b[?7h\u001b[?25h\u001b[?1049l';
const home = '\u001b[H';
// Before the line: behind one that is as wide as the window, it would take the last character.
const eraseLine = '\u001b[2K';
const eraseBelow = '\r\n\u001b[J';

/** Whether there is such a window: keys can be read from it, and it can do more than print. */
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

  /** A terminal that does not know its size says 0. */
  get size(): { columns: number; rows: number } {
    const { columns, rows } = this.#invocation.stdout;
    return { columns: columns || 80, rows: rows || 24 };
  }

  /** @param lines no more and no wider than the size. */
  draw(lines: readonly string[]): void {
    const body = lines.map((line) => eraseLine + printableAnswer(line)).join('\r\n');
    const frame = home + body + (lines.length < this.size.rows ? eraseBelow : '');
    if (this.#closed || frame === this.#shown) return;
    this.#shown = frame;
    this.#invocation.stdout.write(frame);
  }

  /** What a resize left behind is overwritten by the next drawing. */
  forget(): void {
    this.#shown = '';
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    const { stdin, stdout } = this.#invocation;
    this.#notAtExit();
    // The listener for errors stays: a terminal that has gone fails here as well.
    stdin.off('data', this.#events.typed).off('end', this.#events.lost);
    stdout.off('resize', this.#events.resized);
    stdin.setRawMode?.(false);
    stdin.pause();
    stdout.write(leave);
  }
}
