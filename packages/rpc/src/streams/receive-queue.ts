// Bytes that arrived on a stream and wait for their reader: one reader at a time, a bound, an end or a failure.

import { Pieces } from '../calls/chunk-buffer.ts';
import type { HeldBytes } from '../calls/unfinished-bytes.ts';

export class ReceiveQueue {
  readonly #maxBytes: number;
  readonly #held: HeldBytes | undefined;
  readonly #waiting: Pieces;
  #ended = false;
  #failure: Error | undefined;
  #reader: { resolve(bytes: Uint8Array | undefined): void; reject(error: Error): void } | undefined;

  /** @param held counts the waiting bytes. */
  constructor(maxBytes: number, held?: HeldBytes) {
    this.#maxBytes = maxBytes;
    this.#held = held;
    this.#waiting = new Pieces(held);
  }

  /** False when the bytes do not fit. They are dropped then. */
  push(bytes: Uint8Array): boolean {
    if (this.#ended || this.#failure) return true;
    if (this.#reader) {
      this.#take().resolve(bytes);
      return true;
    }
    if (this.#waiting.byteLength + bytes.length > this.#maxBytes || this.#held?.fits(bytes.length) === false)
      return false;
    this.#waiting.push(bytes);
    return true;
  }

  /** Ends the queue. Waiting bytes can still be read. */
  end(): void {
    this.#ended = true;
    if (this.#reader) this.#take().resolve(undefined);
  }

  /** Drops the waiting bytes and makes every read fail. No effect once everything was read. */
  fail(error: Error): void {
    if (this.#failure || (this.#ended && this.#waiting.byteLength === 0)) return;
    this.#failure = error;
    this.#waiting.clear();
    if (this.#reader) this.#take().reject(error);
  }

  read(): Promise<Uint8Array | undefined> {
    const bytes = this.#waiting.shift();
    if (bytes) return Promise.resolve(bytes);
    if (this.#failure) return Promise.reject(this.#failure);
    if (this.#ended) return Promise.resolve(undefined);
    if (this.#reader) return Promise.reject(new TypeError('a read is already waiting'));
    return new Promise((resolve, reject) => {
      this.#reader = { resolve, reject };
    });
  }

  #take() {
    const reader = this.#reader!;
    this.#reader = undefined;
    return reader;
  }
}
