// Shared reads. Each caller waits for a read that began after its request. One read serves all callers that asked
// before it began.

export class ReadIndex {
  readonly #read: () => Promise<void>;
  /** The running read. */
  #running: Promise<void> | undefined;
  /** The read that begins when the running one has ended. */
  #next: Promise<void> | undefined;

  constructor(read: () => Promise<void>) {
    this.#read = read;
  }

  /** Resolves after a read that began after this call. Rejects with its error. */
  ask(): Promise<void> {
    if (!this.#next) {
      const before = this.#running ?? Promise.resolve();
      const begin = () => this.#begin();
      // All callers in this turn of the event loop share it.
      this.#next = before.then(begin, begin);
    }
    return this.#next;
  }

  async #begin(): Promise<void> {
    const mine = this.#next;
    this.#running = mine;
    this.#next = undefined;
    try {
      await this.#read();
    } finally {
      if (this.#running === mine) this.#running = undefined;
    }
  }
}
