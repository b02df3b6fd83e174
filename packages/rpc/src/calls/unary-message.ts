// The single message of a unary call as gRPC encodes it: a prefix of five bytes, then the message.
// https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md

import { Code, ConnectError } from '@connectrpc/connect';
import { messageBytes, Pieces, prefixBytes } from './chunk-buffer.ts';
import type { HeldBytes } from './unfinished-bytes.ts';

const compressedFlag = 1;

/** Collects the message of a request from its bytes. */
export class UnaryMessage {
  readonly #input: Pieces;
  readonly #maxBytes: number;
  #messageBytes: number | undefined;

  /** @param held counts the bytes of the incomplete message. */
  constructor(maxBytes: number, held: HeldBytes | undefined) {
    this.#maxBytes = maxBytes;
    this.#input = new Pieces(held);
  }

  /** @throws ConnectError as soon as the message is too large, compressed, or followed by more. */
  push(bytes: Uint8Array): void {
    this.#input.push(bytes);
    if (this.#messageBytes === undefined && this.#input.byteLength >= prefixBytes) this.#readPrefix();
    if (this.#messageBytes !== undefined && this.#input.byteLength > prefixBytes + this.#messageBytes) {
      throw protocolError('received extra input message for unary method', Code.Unimplemented);
    }
  }

  #readPrefix(): void {
    const prefix = this.#input.peek();
    const size = messageBytes(prefix, 0);
    if (prefix[0] === compressedFlag)
      throw protocolError('received compressed message without grpc-encoding', Code.Internal);
    if (prefix[0] !== 0) throw protocolError('invalid flags of a message', Code.InvalidArgument);
    checkSize(size, this.#maxBytes, 'readMaxBytes');
    this.#messageBytes = size;
  }

  /** Ends the request. @returns undefined when the message is empty. @throws ConnectError when part of the message is missing. */
  take(): Uint8Array | undefined {
    if (this.#input.byteLength === 0)
      throw protocolError('missing input message for unary method', Code.Unimplemented);
    if (this.#messageBytes === undefined || this.#input.byteLength < prefixBytes + this.#messageBytes)
      throw protocolError('incomplete envelope', Code.InvalidArgument);
    return this.#messageBytes === 0 ? undefined : this.#input.take().subarray(prefixBytes);
  }

  clear(): void {
    this.#input.clear();
  }
}

/** @throws ConnectError when the message is too large. */
export function encodeUnaryMessage(bytes: Uint8Array, maxBytes = bytes.length): Uint8Array {
  checkSize(bytes.length, maxBytes, 'writeMaxBytes');
  const whole = Buffer.allocUnsafe(prefixBytes + bytes.length);
  whole[0] = 0;
  whole.writeUInt32BE(bytes.length, 1);
  whole.set(bytes, prefixBytes);
  return whole;
}

function checkSize(size: number, max: number, option: string): void {
  if (size > max)
    throw new ConnectError(
      `message size ${size} is larger than configured ${option} ${max}`,
      Code.ResourceExhausted,
    );
}

const protocolError = (what: string, code: Code) => new ConnectError(`protocol error: ${what}`, code);
