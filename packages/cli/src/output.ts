// What the command prints. The rules:
//
// - Every answer has two forms: text for a person, and with --json one JSON document on one line for a program. A
//   command that streams prints one such line for each thing that happens.
// - Answers go to stdout. Notes, questions and progress go to stderr, and there are none with --json.
// - A failure is `error: what happened, why, what to do next [CODE]` on stderr; with --json it is
//   {"error":{"code":"…","message":"…","next_step":"…"}} on stdout, as the last line, so that a program reads one stream. The exit
//   code says it too (failure.ts).
// - Whatever is printed comes through here and is made printable here, whoever chose it.
// - Colour is a help and never the only sign; none with NO_COLOR or where there is no terminal.
// - The daemon and the agent outlive their output: what nobody reads there is dropped, and never piles up.
// - What takes longer than a second says how long it has been, on a terminal only.

import { styleText } from 'node:util';
import type { Failure } from './failure.ts';
import type { Invocation, Sink } from './invocation.ts';
import { printableAnswer, printableJson, printableLines } from './printable.ts';
import { formatSpan } from './time.ts';

type Style = 'bold' | 'dim' | 'red' | 'yellow';

/** Of what nobody has read yet, in an output that is outlived. */
const maxUnreadBytes = 1024 * 1024;

const eraseLine = '\r\u001b[2K';

export class Output {
  readonly json: boolean;
  /** Width of the terminal; Infinity when the answer does not go to one. */
  readonly columns: number;
  readonly #stdout: Sink;
  readonly #stderr: Sink;
  readonly #color: boolean;
  #dropsUnread = false;
  #hasProgressLine = false;

  constructor({ stdout, stderr, noColor }: Invocation, json: boolean) {
    this.json = json;
    this.columns = stdout.isTTY && stdout.columns ? stdout.columns : Number.POSITIVE_INFINITY;
    this.#stdout = stdout;
    this.#stderr = stderr;
    this.#color = !noColor;
  }

  /** For what runs until it is told to end: lines that nobody reads are dropped. */
  dropUnread(): void {
    this.#dropsUnread = true;
  }

  /** What was asked for. */
  answer(forPrograms: unknown, forPeople: () => string): void {
    this.#eraseProgress();
    this.#print(this.#stdout, this.json ? printableJson(forPrograms) : printableAnswer(forPeople()));
  }

  /** What a person should know besides. */
  note(text: string): void {
    if (this.json) return;
    this.#eraseProgress();
    this.#print(this.#stderr, printableAnswer(text));
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
    // It repeats the message, which may quote what a stranger sent.
    if (stack) this.#stderr.write(`${this.#paint('dim', printableLines(stack), this.#stderr)}\n`);
  }

  /** For text that goes to `answer`. */
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
   * Shows for how long something has been going on, from its first second on. What is printed meanwhile goes above it.
   * @returns the function that ends it.
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
