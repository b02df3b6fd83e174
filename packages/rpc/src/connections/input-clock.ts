// Limits how long the daemon waits for a caller's bytes. A call with a deadline ends at the deadline, whatever the daemon waits
// for. A message that has begun must arrive completely in time, because it holds memory and a place in its session.

import { Code, ConnectError } from '@connectrpc/connect';

/** Time for a request, or for each message of a stream, from first to last byte, ms. */
export const defaultRequestMs = 30_000;

export const callLate = () => new ConnectError('the operation timed out', Code.DeadlineExceeded);
export const requestLate = (ms: number) =>
  new ConnectError(`The request did not arrive completely within ${ms / 1000} s.`, Code.DeadlineExceeded);

export interface InputClockOptions {
  /** The call's deadline, counted from its headers, by performance.now(); absent without a deadline. */
  readonly deadlineAt?: number | undefined;
  /** See `defaultRequestMs`. */
  readonly requestMs: number;
  /** Whether the request is one message. Otherwise the caller may pause between messages, but not before the first. */
  readonly isOneMessage: boolean;
}

export class InputClock {
  readonly #deadlineAt: number;
  readonly #requestMs: number;
  readonly #isOneMessage: boolean;
  /** When the current message must be complete. */
  #wholeBy: number;

  constructor({ deadlineAt, requestMs, isOneMessage }: InputClockOptions) {
    this.#deadlineAt = deadlineAt ?? Number.POSITIVE_INFINITY;
    this.#requestMs = requestMs;
    this.#isOneMessage = isOneMessage;
    this.#wholeBy = performance.now() + requestMs;
  }

  /** Bytes have arrived. @param isWhole whether they end with a complete message. */
  came(isWhole: boolean): void {
    if (this.#isOneMessage) return;
    if (isWhole) this.#wholeBy = Number.POSITIVE_INFINITY;
    else if (this.#wholeBy === Number.POSITIVE_INFINITY) this.#wholeBy = performance.now() + this.#requestMs;
  }

  /** @throws DEADLINE_EXCEEDED when the next bytes do not arrive in time. */
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

/** Passes on the bytes of a body while they arrive in time. */
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
    // Not awaited, because the iterator may itself be waiting.
    iterator.return?.().catch(() => {});
  }
}
