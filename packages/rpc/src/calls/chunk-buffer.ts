// Bytes that come in pieces. A peer can send each byte in a piece of its own, and a piece takes hundreds of times its
// bytes in memory, and its time from whoever looks at all of them again for each new one; so small ones are put together.
// A piece can also be a small part of what was read with it, all of which it would keep; so it is copied.

import { type InputClock, inTime } from '../connections/input-clock.ts';
import { toConnectError } from '../error-map.ts';
import { concat } from './bytes.ts';
import { type HeldBytes, tooManyUnfinishedBytes } from './unfinished-bytes.ts';

/** Pieces up to this size are joined, bytes. */
const smallBytes = 1024;
/** Flags (1 byte) and length (4 bytes) in front of a message of gRPC. */
export const prefixBytes = 5;

/** In the order they came. Takes at most about twice its bytes in memory, however they came. */
export class Pieces {
  readonly #held: HeldBytes | undefined;
  #pieces: Uint8Array[] = [];
  /** The last piece, when it is a copy with room behind it. */
  #open: Uint8Array | undefined;
  #byteLength = 0;

  /** @param held told of every byte that is kept here. */
  constructor(held?: HeldBytes) {
    this.#held = held;
  }

  get byteLength(): number {
    return this.#byteLength;
  }

  /**
   * @param bytes copied unless they are most of what keeps them in memory.
   * @throws TOO_MANY_REQUESTS when there is no room for them.
   */
  push(bytes: Uint8Array): void {
    if (this.#held && !this.#held.add(bytes.length)) throw tooManyUnfinishedBytes();
    this.#keep(bytes);
  }

  #keep(bytes: Uint8Array): void {
    const last = this.#pieces.at(-1);
    this.#byteLength += bytes.length;
    if (!last || last.length + bytes.length > smallBytes) {
      this.#open = undefined;
      this.#pieces.push(bytes.length * 2 < bytes.buffer.byteLength ? new Uint8Array(bytes) : bytes);
      return;
    }
    if (!this.#open) {
      // Not of Node's pool: a piece would keep all of it.
      this.#open = new Uint8Array(smallBytes);
      this.#open.set(last);
    }
    this.#open.set(bytes, last.length);
    this.#pieces[this.#pieces.length - 1] = this.#open.subarray(0, last.length + bytes.length);
  }

  /** The first one. */
  shift(): Uint8Array | undefined {
    const first = this.#pieces.shift();
    this.#byteLength -= first?.length ?? 0;
    this.#held?.remove(first?.length ?? 0);
    if (this.#pieces.length === 0) this.#open = undefined;
    return first;
  }

  /** All of them, which are none then. */
  take(): Uint8Array {
    const bytes = this.#all();
    this.clear();
    return bytes;
  }

  /** All of them, which stay. */
  peek(): Uint8Array {
    const bytes = this.#all();
    this.#empty();
    this.#keep(bytes);
    return bytes;
  }

  clear(): void {
    this.#held?.remove(this.#byteLength);
    this.#empty();
  }

  #empty(): void {
    this.#pieces = [];
    this.#open = undefined;
    this.#byteLength = 0;
  }

  #all(): Uint8Array {
    const [first] = this.#pieces;
    return this.#pieces.length === 1 && first ? first : concat(this.#pieces);
  }
}

/**
 * A body of messages with their lengths in front (gRPC, and Connect's streams), cut behind whole messages.
 *
 * @param maxBytes of a message. One that says to be larger is handed on as it comes, for the reader to refuse.
 * @param held told of what waits to be whole, and of what was handed on last: a handler keeps the one request of its stream for as
 * long as that lasts.
 * @param clock bounds the waiting. @throws DEADLINE_EXCEEDED then.
 */
export async function* inMessages(
  body: AsyncIterable<Uint8Array>,
  maxBytes: number,
  held?: HeldBytes,
  clock?: InputClock,
): AsyncGenerator<Uint8Array> {
  const waiting = new Pieces(held);
  let needed = prefixBytes;
  let handedOn = 0;
  const hold = (bytes: number) => {
    held?.remove(handedOn);
    handedOn = bytes;
    if (held?.add(bytes) === false) throw toConnectError(tooManyUnfinishedBytes()).error;
  };
  for await (const bytes of clock ? inTime(body, clock) : body) {
    try {
      waiting.push(bytes);
    } catch (error) {
      throw toConnectError(error).error;
    }
    if (waiting.byteLength < needed) {
      clock?.came(false);
      continue;
    }
    const all = waiting.take();
    const end = endOfMessages(all, maxBytes);
    const rest = all.subarray(end);
    if (end > 0) clock?.came(true);
    if (rest.length > 0) clock?.came(false);
    if (end > 0) {
      hold(end);
      yield all.subarray(0, end);
    }
    if (rest.length > 0) waiting.push(rest);
    needed = rest.length < prefixBytes ? prefixBytes : prefixBytes + messageBytes(rest, 0);
  }
  if (waiting.byteLength > 0) yield waiting.take();
}

/** Of the message whose prefix is here. */
export function messageBytes(bytes: Uint8Array, at: number): number {
  return new DataView(bytes.buffer, bytes.byteOffset).getUint32(at + 1);
}

/** Where the last message ends that is there whole, or that is too large. */
function endOfMessages(bytes: Uint8Array, maxBytes: number): number {
  let at = 0;
  while (bytes.length - at >= prefixBytes) {
    const size = messageBytes(bytes, at);
    if (size > maxBytes) return bytes.length;
    const end = at + prefixBytes + size;
    if (end > bytes.length) break;
    at = end;
  }
  return at;
}

/**
 * A body that is read whole before anything is done with it.
 *
 * @param held told of every byte; it is the end of the call that gives them back.
 * @param clock as for `inMessages`.
 */
export async function* inPieces(
  body: AsyncIterable<Uint8Array>,
  held?: HeldBytes,
  clock?: InputClock,
): AsyncGenerator<Uint8Array> {
  const waiting = new Pieces();
  for await (const bytes of clock ? inTime(body, clock) : body) {
    if (held && !held.add(bytes.length)) throw toConnectError(tooManyUnfinishedBytes()).error;
    waiting.push(bytes);
    if (waiting.byteLength >= smallBytes) yield waiting.take();
  }
  if (waiting.byteLength > 0) yield waiting.take();
}
