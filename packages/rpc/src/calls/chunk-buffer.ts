// Bytes that arrive in pieces. A peer can send each byte as a separate piece. Such a piece takes hundreds of times its size in
// memory, and a reader that scans all pieces again for each new one takes ever longer. So small pieces are joined.
// A piece can also be a small view of a large buffer, and would keep the whole buffer in memory. So such a piece is copied.

import { type InputClock, inTime } from '../connections/input-clock.ts';
import { toConnectError } from '../error-map.ts';
import { concat } from './bytes.ts';
import { type HeldBytes, tooManyUnfinishedBytes } from './unfinished-bytes.ts';

/** Pieces up to this size are joined, bytes. */
const smallBytes = 1024;
/** Flags (1 byte) and length (4 bytes) in front of a gRPC message. */
export const prefixBytes = 5;

/** Bytes in the order of arrival. Takes at most about twice their size in memory, however small the pieces are. */
export class Pieces {
  readonly #held: HeldBytes | undefined;
  #pieces: Uint8Array[] = [];
  /** The last piece, when it is a copy with room at its end. */
  #open: Uint8Array | undefined;
  #byteLength = 0;

  /** @param held counts every byte in this buffer. */
  constructor(held?: HeldBytes) {
    this.#held = held;
  }

  get byteLength(): number {
    return this.#byteLength;
  }

  /**
   * @param bytes copied unless they make up most of their underlying buffer.
   * @throws TOO_MANY_REQUESTS when there is no room for the bytes.
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
      // Not from Node's pool, because one piece would keep the whole pool in memory.
      this.#open = new Uint8Array(smallBytes);
      this.#open.set(last);
    }
    this.#open.set(bytes, last.length);
    this.#pieces[this.#pieces.length - 1] = this.#open.subarray(0, last.length + bytes.length);
  }

  /** Removes and returns the first piece. */
  shift(): Uint8Array | undefined {
    const first = this.#pieces.shift();
    this.#byteLength -= first?.length ?? 0;
    this.#held?.remove(first?.length ?? 0);
    if (this.#pieces.length === 0) this.#open = undefined;
    return first;
  }

  /** Removes and returns all pieces. */
  take(): Uint8Array {
    const bytes = this.#all();
    this.clear();
    return bytes;
  }

  /** Returns all pieces and keeps them. */
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
 * Cuts a body of length-prefixed messages (gRPC, and Connect's streams) after whole messages.
 *
 * @param maxBytes largest message. A message that announces more is passed on as it arrives, and the reader refuses it.
 * @param held counts the bytes of the incomplete message and of the message passed on last, because a handler keeps the one
 * request of its stream until it ends.
 * @param clock bounds the wait. @throws DEADLINE_EXCEEDED when the time is over.
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

/** Length of the message that starts with this prefix. */
export function messageBytes(bytes: Uint8Array, at: number): number {
  return new DataView(bytes.buffer, bytes.byteOffset).getUint32(at + 1);
}

/** The end of the last message that is complete or too large. */
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
 * A body that is read completely before it is used.
 *
 * @param held counts every byte. The end of the call releases them.
 * @param clock as in `inMessages`.
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
