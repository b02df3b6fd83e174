// Reads that many wait for. Whoever asks waits for a read that began after the question; one read serves all who asked
// before it began.

export class ReadIndex {
  readonly #read: () => Promise<void>;
  /** The read that has begun. */
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
      // All who ask in this turn of the event loop share it.
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
