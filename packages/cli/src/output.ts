// Everything that the command prints. The rules:
//
// - Every answer has two forms: text for a person, and with --json one JSON document on one line for a program. A
//   command that streams prints one such line for each event.
// - Answers go to stdout. Notes, questions and progress go to stderr; with --json there are none.
// - A failure is `error: what happened, why, what to do next [CODE]` on stderr; with --json it is
//   {"error":{"code":"…","message":"…","next_step":"…"}} on stdout, as the last line, so that a program reads one stream. The exit
//   code matches (failure.ts).
// - All output passes through this file, which makes it printable, whatever its source.
// - Colour never carries information alone. There is none with NO_COLOR or without a terminal.
// - The daemon and the agent drop output that nobody reads, so that it never fills memory or stops them.
// - On a terminal, work that takes longer than a second shows the elapsed time.

import { styleText } from 'node:util';
import type { Failure } from './failure.ts';
import type { Invocation, Sink } from './invocation.ts';
import { plainSink } from './plain-ascii.ts';
import { escapeJson, printableAnswer, printableJson, printableLines } from './printable.ts';
import { formatSpan } from './time.ts';

type Style = 'bold' | 'dim' | 'red' | 'yellow';

/** Largest backlog of an output that drops unread lines. */
const maxUnreadBytes = 1024 * 1024;

const eraseLine = '\r\u001b[2K';

export class Output {
  readonly json: boolean;
  /** Width of the terminal; Infinity when the answer goes elsewhere. */
  readonly columns: number;
  /** Whether answers may draw with more than ASCII. */
  readonly showsBoxes: boolean;
  readonly #stdout: Sink;
  readonly #stderr: Sink;
  readonly #color: boolean;
  #dropsUnread = false;
  #hasProgressLine = false;

  constructor({ stdout, stderr, noColor, showsBoxes }: Invocation, json: boolean) {
    this.json = json;
    this.columns = stdout.isTTY && stdout.columns ? stdout.columns : Number.POSITIVE_INFINITY;
    // JSON is for programs, which read UTF-8.
    this.#stdout = json || showsBoxes ? stdout : plainSink(stdout);
    this.#stderr = showsBoxes ? stderr : plainSink(stderr);
    this.showsBoxes = showsBoxes;
    this.#color = !noColor;
  }

  /** Drops lines that nobody reads, for a command that runs until it is stopped. */
  dropUnread(): void {
    this.#dropsUnread = true;
  }

  /** Prints the answer of the command. */
  answer(forPrograms: unknown, forPeople: () => string): void {
    this.#eraseProgress();
    this.#print(this.#stdout, this.json ? printableJson(forPrograms) : printableAnswer(forPeople()));
  }

  /** Prints additional information for a person. */
  note(text: string): void {
    if (this.json) return;
    this.#eraseProgress();
    this.#print(this.#stderr, printableAnswer(text));
  }

  /** Prints a line of the log, which is JSON, also with --json. */
  log(json: string): void {
    this.#eraseProgress();
    this.#print(this.#stderr, escapeJson(json));
  }

  failure({ code, message, nextStep, retryAfterMs, stack }: Failure): void {
    this.#eraseProgress();
    if (this.json) {
      const retry = retryAfterMs !== undefined && { retry_after_ms: retryAfterMs };
      const next = nextStep !== undefined && { next_step: nextStep };
      this.#stdout.write(`${printableJson({ error: { code, message, ...next, ...retry } })}\n`);
      return;
    }
    const retry = retryAfterMs === undefined ? '' : ` Try again in ${formatSpan(retryAfterMs)}.`;
    const next = nextStep === undefined ? '' : ` ${nextStep}`;
    const label = this.#paint('red', 'error:', this.#stderr);
    const text = printableLines(`${message}${retry}${next}`);
    this.#stderr.write(`${label} ${text} ${this.#paint('dim', `[${code}]`, this.#stderr)}\n`);
    // The stack repeats the message, which may quote text from a stranger.
    if (stack) this.#stderr.write(`${this.#paint('dim', printableLines(stack), this.#stderr)}\n`);
  }

  /** Paints text for `answer`. */
  paint(style: Style, text: string): string {
    return this.#paint(style, text, this.#stdout);
  }

  /** Whether answers go to a terminal. */
  get isTerminal(): boolean {
    return this.#stdout.isTTY === true;
  }

  get hasColor(): boolean {
    return this.#color && this.#stdout.isTTY === true;
  }

  /**
   * Shows the elapsed time of some work, from its first second on. Other output goes above this line.
   * @returns a function that ends it.
   */
  progress(label: () => string): () => void {
    if (this.json || !this.#stderr.isTTY) return () => {};
    const startedAt = performance.now();
    const timer = setInterval(() => {
      const seconds = Math.round((performance.now() - startedAt) / 1000);
      this.#eraseProgress();
      this.#stderr.write(`${printableAnswer(label())} ${this.#paint('dim', `(${seconds} s)`, this.#stderr)}`);
      this.#hasProgressLine = true;
    }, 1000);
    return () => {
      clearInterval(timer);
      this.#eraseProgress();
    };
  }

  #print(sink: Sink, text: string): void {
    if (this.#dropsUnread && sink.writableLength > maxUnreadBytes) return;
    sink.write(`${text}\n`);
  }

  #eraseProgress(): void {
    if (this.#hasProgressLine) this.#stderr.write(eraseLine);
    this.#hasProgressLine = false;
  }

  #paint(style: Style, text: string, sink: Sink): string {
    return this.#color && sink.isTTY ? styleText(style, text, { validateStream: false }) : text;
  }
}
