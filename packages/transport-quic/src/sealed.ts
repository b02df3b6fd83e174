// Seals what the daemon sends on a connection's streams, for this connection's client alone (docs/quic.md section 1.1).
//
// The library knows a connection by a number, and gives the number to the next connection as soon as one has ended. We hear of the
// end a moment later. What we send in between goes out on the next connection, which may be another device's. So each client
// chooses a key, and bytes that were meant for another connection say nothing to it and end its connection.

import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { IdentityError } from '@palyra/identity';

/** The client's first stream carries the key and nothing else. */
export const keyStreamId = 0;
export const keyBytes = 32;
const algorithm = 'aes-256-gcm';
const lengthBytes = 4;
const tagBytes = 16;
/** Content of one record. */
const maxContentBytes = 64 * 1024;

export const makeKey = (): Uint8Array => randomBytes(keyBytes);

/** For one stream of the daemon's. */
export class Sealer {
  readonly #key: Uint8Array;
  readonly #nonces: Nonces;

  constructor(key: Uint8Array, streamId: number) {
    this.#key = key;
    this.#nonces = new Nonces(streamId);
  }

  /** @returns records: the length of what follows, the ciphertext, the tag. */
  seal(bytes: Uint8Array): Buffer {
    const parts: Buffer[] = [];
    for (let at = 0; at < bytes.length; at += maxContentBytes) {
      const content = bytes.subarray(at, at + maxContentBytes);
      const cipher = createCipheriv(algorithm, this.#key, this.#nonces.next());
      const length = Buffer.allocUnsafe(lengthBytes);
      length.writeUInt32BE(content.length + tagBytes);
      parts.push(length, cipher.update(content), cipher.final(), cipher.getAuthTag());
    }
    return Buffer.concat(parts);
  }
}

/** For one stream at its client. */
export class Opener {
  readonly #key: Uint8Array;
  readonly #nonces: Nonces;
  #held: Buffer = Buffer.alloc(0);

  constructor(key: Uint8Array, streamId: number) {
    this.#key = key;
    this.#nonces = new Nonces(streamId);
  }

  /** @returns the contents of the records that are complete. @throws UNREACHABLE for a record of another connection. */
  open(bytes: Uint8Array): Buffer[] {
    this.#held = Buffer.concat([this.#held, bytes]);
    const contents: Buffer[] = [];
    while (this.#held.length >= lengthBytes) {
      const length = this.#held.readUInt32BE();
      if (length < tagBytes || length > maxContentBytes + tagBytes) throw foreign();
      const end = lengthBytes + length;
      if (this.#held.length < end) break;
      contents.push(this.#openRecord(this.#held.subarray(lengthBytes, end)));
      this.#held = this.#held.subarray(end);
    }
    return contents;
  }

  #openRecord(record: Buffer): Buffer {
    const tagAt = record.length - tagBytes;
    const options = { authTagLength: tagBytes };
    const decipher = createDecipheriv(algorithm, this.#key, this.#nonces.next(), options);
    decipher.setAuthTag(record.subarray(tagAt));
    const content = decipher.update(record.subarray(0, tagAt));
    try {
      decipher.final();
    } catch {
      throw foreign();
    }
    return content;
  }
}

/** Streams of a connection share its key, so the nonce names the stream: 6 bytes for its id, 6 to count its records. */
class Nonces {
  readonly #streamId: number;
  #count = 0;

  constructor(streamId: number) {
    this.#streamId = streamId;
  }

  next(): Buffer {
    const nonce = Buffer.allocUnsafe(12);
    nonce.writeUIntBE(this.#streamId, 0, 6);
    nonce.writeUIntBE(this.#count, 6, 6);
    this.#count += 1;
    return nonce;
  }
}

const foreign = () =>
  new IdentityError('UNREACHABLE', 'The daemon sent something that is not for this connection.');
