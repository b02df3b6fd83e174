// How long the daemon waits for a caller's bytes. A call that has a deadline ends with it, whatever the daemon waits for; and
// a message that has begun must come whole in time, for it holds memory and a place among the calls of its session.

import { Code, ConnectError } from '@connectrpc/connect';

/** Of a request, or of each message of a stream, from its first byte to its last, ms. */
export const defaultRequestMs = 30_000;

export const callLate = () => new ConnectError('the operation timed out', Code.DeadlineExceeded);
export const requestLate = (ms: number) =>
  new ConnectError(`The request did not come whole within ${ms / 1000} s.`, Code.DeadlineExceeded);

export interface InputClockOptions {
  /** From the call's headers on, by performance.now(); absent without a deadline. */
  readonly deadlineAt?: number | undefined;
  /** See `defaultRequestMs`. */
  readonly requestMs: number;
  /** The request is one message. Otherwise the caller may pause between messages, though not before the first. */
  readonly isOneMessage: boolean;
}

export class InputClock {
  readonly #deadlineAt: number;
  readonly #requestMs: number;
  readonly #isOneMessage: boolean;
  /** Until when the message that is coming must be whole. */
  #wholeBy: number;

  constructor({ deadlineAt, requestMs, isOneMessage }: InputClockOptions) {
    this.#deadlineAt = deadlineAt ?? Number.POSITIVE_INFINITY;
    this.#requestMs = requestMs;
    this.#isOneMessage = isOneMessage;
    this.#wholeBy = performance.now() + requestMs;
  }

  /** Bytes have come. @param isWhole they end with a message. */
  came(isWhole: boolean): void {
    if (this.#isOneMessage) return;
    if (isWhole) this.#wholeBy = Number.POSITIVE_INFINITY;
    else if (this.#wholeBy === Number.POSITIVE_INFINITY) this.#wholeBy = performance.now() + this.#requestMs;
  }

  /** @throws DEADLINE_EXCEEDED when the next bytes do not come in time. */
  async wait<T>(next: Promise<T>): Promise<T> {
    const by = Math.min(this.#deadlineAt, this.#wholeBy);
    if (by === Number.POSITIVE_INFINITY) return next;
    const late = Promise.withResolvers<never>();
    const timer = setTimeout(
      () => late.reject(by === this.#deadlineAt ? callLate() : requestLate(this.#requestMs)),
      Math.max(0, by - performance.now()),
    );
    try {
      return await Promise.race([next, late.promise]);
    } finally {
      clearTimeout(timer);
    }
  }
}

/** The bytes of a body, as long as they come in time. */
export async function* inTime(
  body: AsyncIterable<Uint8Array>,
  clock: InputClock,
): AsyncGenerator<Uint8Array> {
  const iterator = body[Symbol.asyncIterator]();
  try {
    for (;;) {
      const { value, done } = await clock.wait(iterator.next());
      if (done) return;
      yield value;
    }
  } finally {
    // Not waited for: it may be in the middle of a wait of its own.
    iterator.return?.().catch(() => {});
  }
}
