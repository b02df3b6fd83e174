// The frames of one call, docs/quic.md section 3: type (1 byte), length (QUIC variable-length integer, RFC 9000 16),
// payload. The reader checks a frame's length before it keeps any of the payload.

import { IdentityError } from '@palyra/identity/portable';
import { concat, fromLatin1, toLatin1 } from './bytes.ts';
import { Pieces } from './chunk-buffer.ts';
import { decodeHeaders, encodeHeaders, type HeaderList } from './header-list.ts';
import { invalid } from './protocol-error.ts';
import type { HeldBytes } from './unfinished-bytes.ts';
import { decodeVarint, encodeVarint } from './varint.ts';

export const frameType = {
  request: 0x01,
  response: 0x02,
  data: 0x03,
  end: 0x04,
  trailers: 0x05,
  window: 0x06,
} as const;

export type Frame =
  | { readonly type: 'request'; readonly path: string; readonly headers: HeaderList }
  | { readonly type: 'response'; readonly status: number; readonly headers: HeaderList }
  | { readonly type: 'data'; readonly bytes: Uint8Array }
  /** The caller sends no more data. */
  | { readonly type: 'end' }
  | { readonly type: 'trailers'; readonly headers: HeaderList }
  /** The receiver of data has read this many more bytes. */
  | { readonly type: 'window'; readonly bytes: number };

export interface FrameLimits {
  /** Largest payload of a data frame. Default 64 KiB, which senders never exceed. */
  readonly maxDataBytes: number;
  /** Largest payload of a frame that carries headers. Default 16 KiB. */
  readonly maxHeaderBytes: number;
}

export const defaultFrameLimits: FrameLimits = { maxDataBytes: 65_536, maxHeaderBytes: 16_384 };

/** The payload holds a path, then the header list. */
const maxPathBytes = 1024;

/** @throws MESSAGE_TOO_LARGE when the headers exceed the peer's limit. */
export function encodeFrame(frame: Frame, limits: FrameLimits = defaultFrameLimits): Uint8Array {
  switch (frame.type) {
    case 'request': {
      const path = fromLatin1(frame.path);
      return withHeaders(frameType.request, [encodeVarint(path.length), path], frame.headers, limits);
    }
    case 'response':
      return withHeaders(frameType.response, [encodeVarint(frame.status)], frame.headers, limits);
    case 'trailers':
      return withHeaders(frameType.trailers, [], frame.headers, limits);
    case 'data':
      return join(frameType.data, [frame.bytes]);
    case 'end':
      return Uint8Array.of(frameType.end, 0);
    case 'window':
      return join(frameType.window, [encodeVarint(frame.bytes)]);
  }
}

/** Cuts the bytes of a stream into frames. Do not use a reader again after it has thrown. */
export class FrameParser {
  readonly #limits: FrameLimits;
  readonly #waiting: Pieces;
  /** Bytes that the next frame needs, as far as known. */
  #needed = 1;

  /** @param held counts the bytes of the incomplete frame. */
  constructor(limits: FrameLimits = defaultFrameLimits, held?: HeldBytes) {
    this.#limits = limits;
    this.#waiting = new Pieces(held);
  }

  /** @throws MESSAGE_INVALID, MESSAGE_TOO_LARGE, TOO_MANY_REQUESTS */
  push(chunk: Uint8Array): Frame[] {
    this.#waiting.push(chunk);
    if (this.#waiting.byteLength < this.#needed) return [];

    const bytes = this.#waiting.take();
    const frames: Frame[] = [];
    let at = 0;
    for (;;) {
      const end = this.#endOfFrame(bytes, at);
      if (end > bytes.length) {
        this.#needed = end - at;
        break;
      }
      frames.push(decodePayload(bytes[at]!, bytes.subarray(decodeVarint(bytes, at + 1)!.next, end)));
      at = end;
    }
    if (at < bytes.length) this.#waiting.push(bytes.subarray(at));
    return frames;
  }

  /** @throws MESSAGE_INVALID when the stream ended within a frame. */
  end(): void {
    if (this.#waiting.byteLength > 0) throw invalid('the stream ended within a frame');
  }

  /** The end of the frame; past the bytes received while the frame is incomplete. */
  #endOfFrame(bytes: Uint8Array, at: number): number {
    const type = bytes[at];
    if (type === undefined) return at + 1;
    const cap = this.#cap(type);
    const length = decodeVarint(bytes, at + 1);
    if (!length) return bytes.length + 1;
    if (length.value > cap) {
      throw new IdentityError('MESSAGE_TOO_LARGE', `A frame of type ${type} has more than ${cap} bytes.`);
    }
    return length.next + length.value;
  }

  #cap(type: number): number {
    switch (type) {
      case frameType.request:
      case frameType.response:
      case frameType.trailers:
        return this.#limits.maxHeaderBytes;
      case frameType.data:
        return this.#limits.maxDataBytes;
      case frameType.end:
        return 0;
      case frameType.window:
        return 4;
      default:
        throw invalid(`frame type ${type} is unknown`);
    }
  }
}

function decodePayload(type: number, payload: Uint8Array): Frame {
  switch (type) {
    case frameType.request: {
      const length = decodeVarint(payload, 0);
      if (!length || length.value > maxPathBytes || length.next + length.value > payload.length) {
        throw invalid('a request without a path');
      }
      const end = length.next + length.value;
      const path = toLatin1(payload.subarray(length.next, end));
      if (!/^\/[\x21-\x7e]+$/.test(path)) throw invalid('a path of other characters');
      return { type: 'request', path, headers: decodeHeaders(payload.subarray(end)) };
    }
    case frameType.response: {
      const status = decodeVarint(payload, 0);
      if (!status || status.value < 200 || status.value > 599) throw invalid('a response without a status');
      return {
        type: 'response',
        status: status.value,
        headers: decodeHeaders(payload.subarray(status.next)),
      };
    }
    case frameType.trailers:
      return { type: 'trailers', headers: decodeHeaders(payload) };
    case frameType.data:
      // An empty frame costs the receiver more than the sender.
      if (payload.length === 0) throw invalid('an empty data frame');
      return { type: 'data', bytes: payload };
    case frameType.window: {
      const bytes = decodeVarint(payload, 0);
      if (!bytes || bytes.next !== payload.length || bytes.value === 0) throw invalid('a window of no bytes');
      return { type: 'window', bytes: bytes.value };
    }
    default:
      return { type: 'end' };
  }
}

function withHeaders(
  type: number,
  start: Uint8Array[],
  headers: HeaderList,
  limits: FrameLimits,
): Uint8Array {
  const payload = [...start, encodeHeaders(headers)];
  const size = payload.reduce((sum, part) => sum + part.length, 0);
  if (size > limits.maxHeaderBytes) {
    throw new IdentityError(
      'MESSAGE_TOO_LARGE',
      `Headers of ${size} bytes; ${limits.maxHeaderBytes} are allowed.`,
    );
  }
  return join(type, payload);
}

function join(type: number, payload: readonly Uint8Array[]): Uint8Array {
  const size = payload.reduce((sum, part) => sum + part.length, 0);
  return concat([Uint8Array.of(type), encodeVarint(size), ...payload]);
}
