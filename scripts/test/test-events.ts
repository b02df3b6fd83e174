// The events of node:test that a process with test files writes (reporter.ts).

import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';

/** An event of node:test, with errors as text. */
export interface TestEvent {
  readonly type: string;
  readonly data: {
    readonly name: string;
    readonly nesting: number;
    readonly file?: string;
    readonly line?: number;
    readonly column?: number;
    readonly message?: string;
    readonly skip?: string | boolean;
    readonly todo?: string | boolean;
    readonly details?: {
      readonly duration_ms: number;
      readonly type?: string;
      readonly failure?: { readonly type: string; readonly text: string };
    };
  };
}

/** The end of a file in a process that runs several. */
export interface FileEnd {
  /** Whether the next file finds the process as if it were new. */
  readonly isClean: boolean;
}

/** The events of one file. */
export class TestEvents {
  #events: TestEvent[] = [];
  /** Time of the last event. */
  at = performance.now();
  #running: { readonly name: string; readonly nesting: number }[] = [];
  #isClosed = false;
  readonly #isInTurn: boolean;
  #ended = Promise.withResolvers<FileEnd>();
  #whole = Promise.withResolvers<void>();
  #isWhole = false;
  #failure: string | undefined;

  /** @param isInTurn whether the process runs several files, each as a test (files-in-turn.ts). */
  constructor(source: Readable, isInTurn: boolean) {
    this.#isInTurn = isInTurn;
    createInterface({ input: source }).on('line', (line) => {
      const event = parse(line);
      if (event) this.#take(event);
    });
  }

  /** Forgets the file before. */
  begin(): void {
    this.#events = [];
    this.#running = [];
    this.#isWhole = false;
    this.#failure = undefined;
    this.#ended = Promise.withResolvers();
    this.#whole = Promise.withResolvers();
    this.at = performance.now();
  }

  /** Resolves when a file that runs in turn has ended, and all its events are here. */
  async ended(): Promise<FileEnd> {
    const [end] = await Promise.all([this.#ended.promise, this.#whole.promise]);
    return end;
  }

  get all(): readonly TestEvent[] {
    return this.#events;
  }

  /** Whether a file that runs in turn has ended, with all its tests. */
  get isWhole(): boolean {
    return this.#isWhole;
  }

  /** The running tests, as the end of a sentence; empty if none runs. */
  get running(): string {
    // node:test reports its root as running after all tests have ended.
    const names = this.#running.map(({ name }) => (name === '<root>' ? 'hooks of the file' : `"${name}"`));
    return names.length === 0 ? '' : `, while this was running: ${names.join(', ')}`;
  }

  /** Why a file that runs in turn failed, apart from its tests: it could not be loaded, or a hook failed. */
  get failure(): string | undefined {
    return this.#failure;
  }

  get hasFailure(): boolean {
    return this.#failure !== undefined || this.#events.some(({ type }) => type === 'test:fail');
  }

  /** Events after the kill do not count. */
  close(): void {
    this.#isClosed = true;
  }

  #take({ type, data }: TestEvent): void {
    if (this.#isClosed) return;
    this.at = performance.now();
    const { name } = data;
    const nesting = this.#isInTurn ? data.nesting - 1 : data.nesting;
    if (type === 'file') this.#ended.resolve(data as unknown as FileEnd);
    else if (nesting < 0) this.#takeOfFile({ type, data });
    else if (type === 'start') this.#running.push({ name, nesting });
    else if (type === 'end') this.#leave(name, nesting);
    else this.#events.push({ type, data: { ...data, nesting } });
  }

  #takeOfFile({ type, data: { details } }: TestEvent): void {
    if (type !== 'test:pass' && type !== 'test:fail') return;
    const { failure } = details ?? {};
    if (failure && failure.type !== 'subtestsFailed') this.#failure = failure.text;
    this.#isWhole = true;
    this.#whole.resolve();
  }

  #leave(name: string, nesting: number): void {
    const index = this.#running.findIndex((each) => each.name === name && each.nesting === nesting);
    if (index >= 0) this.#running.splice(index, 1);
  }
}

/** Undefined for half a line, which a dying process may leave. */
function parse(line: string): TestEvent | undefined {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
