// The outgoing messages of a stream. The transport takes them one by one.

import { Wakeup } from '@palyra/identity/portable';

export class MessageQueue<T> implements AsyncIterable<T> {
  readonly #messages: T[] = [];
  #ended = false;
  readonly #wakeup = new Wakeup();

  push(message: T): void {
    if (this.#ended) return;
    this.#messages.push(message);
    this.#wakeup.wake();
  }

  /** The number of waiting messages. */
  get size(): number {
    return this.#messages.length;
  }

  end(): void {
    this.#ended = true;
    this.#wakeup.wake();
  }

  async *[Symbol.asyncIterator](): AsyncIterator<T> {
    while (!this.#ended) {
      const message = this.#messages.shift();
      if (message !== undefined) yield message;
      else await this.#wakeup.sleep();
    }
  }
}
