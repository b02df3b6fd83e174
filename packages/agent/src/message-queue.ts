// What goes out on a stream, handed over one by one as the transport asks for it.

export class MessageQueue<T> implements AsyncIterable<T> {
  readonly #messages: T[] = [];
  #ended = false;
  #wake: () => void = () => {};

  push(message: T): void {
    if (this.#ended) return;
    this.#messages.push(message);
    this.#wake();
  }

  /** What waits to be asked for. */
  get size(): number {
    return this.#messages.length;
  }

  end(): void {
    this.#ended = true;
    this.#wake();
  }

  async *[Symbol.asyncIterator](): AsyncIterator<T> {
    while (!this.#ended) {
      const message = this.#messages.shift();
      if (message !== undefined) yield message;
      else
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
    }
  }
}
