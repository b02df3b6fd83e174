// Calls for the clipboard. Each waits for a click of the person: only a page that the person clicked on can read it.

import type { ClipboardAsk } from './view.ts';

/** Calls that may wait at one time. */
const maxAsks = 4;

export class ClipboardAsks {
  readonly #onChange: () => void;
  readonly #waiting = new Map<string, { resolve(text: string): void; reject(error: Error): void }>();

  constructor(onChange: () => void) {
    this.#onChange = onChange;
  }

  get waiting(): ClipboardAsk[] {
    return [...this.#waiting.keys()].map((id) => ({ id }));
  }

  async ask(signal: AbortSignal): Promise<string> {
    if (this.#waiting.size >= maxAsks) throw new Error('too many calls wait for a click');
    const id = crypto.randomUUID();
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    this.#waiting.set(id, { resolve, reject });
    this.#onChange();
    signal.addEventListener('abort', () => reject(new Error('the call has ended')));
    try {
      return await promise;
    } finally {
      this.#waiting.delete(id);
      this.#onChange();
    }
  }

  /** @param text undefined: the person refuses. */
  answer(id: string, text: string | undefined): void {
    const call = this.#waiting.get(id);
    if (text === undefined) call?.reject(new Error('the person refused'));
    else call?.resolve(text);
  }
}
