// The frames in the messages of an open channel. A frame never spans two messages. docs/channel.md 5.

import { IdentityError } from '@palyra/identity/portable';
import { concat, maxReasonBytes } from '@palyra/rpc/portable';
import { tagBytes } from './noise/crypto.ts';
import { maxNoiseBytes } from './noise/handshake.ts';

export const frameType = {
  data: 0x01,
  end: 0x02,
  reset: 0x03,
  goaway: 0x04,
  ping: 0x05,
  pong: 0x06,
} as const;

export type Frame =
  | { readonly type: 'data'; readonly stream: number; readonly bytes: Uint8Array }
  /** The sender sends no more on this stream. */
  | { readonly type: 'end'; readonly stream: number }
  /** The sender neither sends nor accepts more. For `number`, see docs/quic.md 2. */
  | { readonly type: 'reset'; readonly stream: number; readonly number: number }
  /** The last frame of a connection. */
  | { readonly type: 'goaway'; readonly number: number; readonly reason: string }
  | { readonly type: 'ping'; readonly value: number }
  | { readonly type: 'pong'; readonly value: number };

/** Largest payload of a data frame. Small enough that streams take turns. */
export const maxDataBytes = 16_384;
/** Most bytes of frames in one message. */
export const maxPlaintextBytes = maxNoiseBytes - tagBytes;
/** Largest stream number and PING value: the most that fits in four bytes of RFC 9000 16. */
export const maxNumber = 0x3fff_ffff;

export function encodeFrame(frame: Frame): Uint8Array {
  switch (frame.type) {
    case 'data':
      return concat([head(frameType.data, frame.stream), encodeNumber(frame.bytes.length), frame.bytes]);
    case 'end':
      return head(frameType.end, frame.stream);
    case 'reset':
      return concat([head(frameType.reset, frame.stream), encodeNumber(frame.number)]);
    case 'goaway': {
      const reason = new TextEncoder().encode(frame.reason);
      return concat([head(frameType.goaway, frame.number), encodeNumber(reason.length), reason]);
    }
    case 'ping':
      return head(frameType.ping, frame.value);
    case 'pong':
      return head(frameType.pong, frame.value);
  }
}

const head = (type: number, number: number) => concat([Uint8Array.of(type), encodeNumber(number)]);

/** All frames of a message. @throws MESSAGE_INVALID */
export function decodeFrames(plaintext: Uint8Array): Frame[] {
  const frames: Frame[] = [];
  const reader = new Reader(plaintext);
  while (!reader.isAtEnd) frames.push(decodeFrame(reader));
  return frames;
}

function decodeFrame(reader: Reader): Frame {
  const type = reader.byte();
  const number = reader.number();
  switch (type) {
    case frameType.data: {
      const bytes = reader.bytes(maxDataBytes);
      // An empty frame would cost the receiver more than its sender.
      if (bytes.length === 0) throw invalid('an empty data frame');
      return { type: 'data', stream: number, bytes };
    }
    case frameType.end:
      return { type: 'end', stream: number };
    case frameType.reset:
      return { type: 'reset', stream: number, number: reader.number() };
    case frameType.goaway:
      return { type: 'goaway', number, reason: new TextDecoder().decode(reader.bytes(maxReasonBytes)) };
    case frameType.ping:
      return { type: 'ping', value: number };
    case frameType.pong:
      return { type: 'pong', value: number };
    default:
      throw invalid(`frame type ${type} is unknown`);
  }
}

class Reader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get isAtEnd(): boolean {
    return this.#at === this.#bytes.length;
  }

  byte(): number {
    const byte = this.#bytes[this.#at];
    if (byte === undefined) throw invalid('a truncated frame');
    this.#at += 1;
    return byte;
  }

  /** RFC 9000 16, in one, two or four bytes. */
  number(): number {
    const first = this.byte();
    const size = 1 << (first >> 6);
    if (size === 8) throw invalid('a number above 2^30');
    let value = first & 0x3f;
    for (let more = 1; more < size; more++) value = value * 256 + this.byte();
    return value;
  }

  bytes(max: number): Uint8Array {
    const size = this.number();
    if (size > max) throw invalid(`more than ${max} bytes in a frame`);
    const end = this.#at + size;
    if (end > this.#bytes.length) throw invalid('a truncated frame');
    const bytes = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return bytes;
  }
}

function encodeNumber(value: number): Uint8Array {
  if (value < 0x40) return Uint8Array.of(value);
  if (value < 0x4000) return Uint8Array.of(0x40 | (value >> 8), value & 0xff);
  if (!(value <= maxNumber)) throw new TypeError(`${value} is too large for a frame`);
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value + 0x8000_0000);
  return bytes;
}

function invalid(what: string): IdentityError {
  return new IdentityError('MESSAGE_INVALID', `The peer broke the protocol: ${what}.`);
}
