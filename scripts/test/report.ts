// The output of a run: the lines of node:test for each file, then all failures again, and the totals last.

import type { Writable } from 'node:stream';
import { spec } from 'node:test/reporters';
import { inspect } from 'node:util';
import type { TestEvent } from './test-events.ts';
import type { FileRun } from './test-process.ts';

export class Report {
  readonly #spec = new spec();
  readonly #begun = performance.now();
  readonly #counts = { tests: 0, suites: 0, pass: 0, fail: 0, cancelled: 0, skipped: 0, todo: 0 };
  readonly #output: Writable;
  readonly #written: Promise<void>;

  constructor(output: Writable) {
    this.#output = output;
    this.#spec.pipe(output, { end: false });
    this.#written = new Promise((resolve) => this.#spec.once('end', resolve));
  }

  add({ file, events, output, problems, durationMs }: FileRun): void {
    this.#say(`\n${file} (${Math.round(durationMs / 100) / 10} s)\n${output}`);
    for (const event of events) {
      if (isTotal(event)) continue;
      this.#count(event);
      this.#spec.write(restored(event));
    }
    for (const problem of problems) this.addProblem(file, problem);
  }

  /** One failed test. */
  addProblem(name: string, text: string): void {
    const failure = { type: 'testCodeFailure', text };
    const data = { name, nesting: 0, details: { duration_ms: 0, failure } };
    for (const type of ['test:start', 'test:fail']) {
      this.#count({ type, data });
      this.#spec.write(restored({ type, data }));
    }
  }

  /** @returns whether everything passed. */
  async end(): Promise<boolean> {
    this.#spec.end();
    await this.#written;
    const durationMs = performance.now() - this.#begun;
    for (const [what, count] of Object.entries({ ...this.#counts, duration_ms: Math.round(durationMs) }))
      this.#output.write(`ℹ ${what} ${count}\n`);
    return this.#counts.fail === 0;
  }

  #say(message: string): void {
    this.#spec.write({ type: 'test:stdout', data: { message } });
  }

  /** Counts like node:test, but a cancelled test has failed. */
  #count({ type, data: { details, skip, todo } }: TestEvent): void {
    if (type !== 'test:pass' && type !== 'test:fail') return;
    if (details?.type === 'suite') {
      this.#counts.suites += 1;
      // A suite fails with its tests, or by itself in a hook.
      if (!details.failure || details.failure.type === 'subtestsFailed') return;
    }
    this.#counts.tests += 1;
    if (skip !== undefined) this.#counts.skipped += 1;
    else if (todo !== undefined) this.#counts.todo += 1;
    else this.#counts[type === 'test:pass' ? 'pass' : 'fail'] += 1;
  }
}

/** Whether the event is about the whole file. */
function isTotal({ type, data: { nesting, message } }: TestEvent): boolean {
  if (type !== 'test:diagnostic') return type === 'test:summary';
  return (
    nesting === 0 && /^(tests|suites|pass|fail|cancelled|skipped|todo|duration_ms) [\d.]+$/.test(message!)
  );
}

/** The event with an error that prints like the original. */
function restored({ type, data }: TestEvent): unknown {
  const { failure, ...details } = data.details ?? {};
  if (!failure) return { type, data };
  const cause = { [inspect.custom]: () => failure.text };
  const error = { code: 'ERR_TEST_FAILURE', failureType: failure.type, cause };
  return { type, data: { ...data, details: { ...details, error } } };
}
