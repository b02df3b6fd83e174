// A TLS 1.3 client that writes its own records after a real client has done the handshake: KeyUpdates, records of one byte, empty
// records (RFC 8446).

import { createCipheriv, createHmac } from 'node:crypto';
import { once } from 'node:events';
import net from 'node:net';
import tls from 'node:tls';

export const contentType = { handshake: 22, data: 23 } as const;

export class RawTls {
  readonly socket: net.Socket;
  readonly closed: Promise<void>;
  #secret: Buffer;
  #key!: Buffer;
  #iv!: Buffer;
  #sequence = 0n;

  /** @throws the error of the handshake. */
  static async connect(address: string, options: tls.ConnectionOptions): Promise<RawTls> {
    const [host, port] = address.split(':') as [string, string];
    const socket = net.connect(Number(port), host);
    const above = tls.connect({
      socket,
      ALPNProtocols: ['h2'],
      minVersion: 'TLSv1.3',
      ciphers: 'TLS_AES_128_GCM_SHA256',
      ...options,
    });
    let secret: Buffer | undefined;
    above.on('keylog', (line: Buffer) => {
      const [label, , value] = line.toString().trim().split(' ');
      if (label === 'CLIENT_TRAFFIC_SECRET_0') secret = Buffer.from(value!, 'hex');
    });
    await once(above, 'secureConnect');
    // The client's Finished leaves after that, in the same turn of the event loop.
    await new Promise((resolve) => setImmediate(resolve));
    above.on('error', () => {});
    above.resume();
    if (!secret) throw new Error('this version of Node reports no TLS secrets');
    return new RawTls(socket, secret);
  }

  private constructor(socket: net.Socket, secret: Buffer) {
    this.socket = socket;
    socket.on('error', () => {});
    this.closed = new Promise((resolve) => socket.once('close', () => resolve()));
    this.#secret = secret;
    this.#useSecret();
  }

  record(content: Uint8Array, type: number = contentType.data): Buffer {
    const head = Buffer.of(23, 3, 3, 0, 0);
    head.writeUInt16BE(content.length + 17, 3);
    const nonce = Buffer.from(this.#iv);
    nonce.writeBigUInt64BE(nonce.readBigUInt64BE(4) ^ this.#sequence, 4);
    this.#sequence += 1n;
    const cipher = createCipheriv('aes-128-gcm', this.#key, nonce).setAAD(head);
    return Buffer.concat([
      head,
      cipher.update(Buffer.concat([content, Buffer.of(type)])),
      cipher.final(),
      cipher.getAuthTag(),
    ]);
  }

  /** Send this record before any record that is made later. */
  keyUpdate(): Buffer {
    const record = this.record(Buffer.of(24, 0, 0, 1, 0), contentType.handshake);
    this.#secret = expand(this.#secret, 'traffic upd', 32);
    this.#useSecret();
    return record;
  }

  /** Waits for room if necessary. @returns whether the connection is still open. */
  async pour(bytes: Buffer): Promise<boolean> {
    if (this.socket.destroyed) return false;
    if (this.socket.write(bytes)) return true;
    await Promise.race([once(this.socket, 'drain').catch(() => {}), this.closed]);
    return !this.socket.destroyed;
  }

  #useSecret(): void {
    this.#key = expand(this.#secret, 'key', 16);
    this.#iv = expand(this.#secret, 'iv', 12);
    this.#sequence = 0n;
  }
}

/** HKDF-Expand-Label with an empty context (RFC 8446 7.1), of one block. */
function expand(secret: Buffer, label: string, length: number): Buffer {
  const name = Buffer.from(`tls13 ${label}`);
  const info = Buffer.concat([Buffer.of(0, length, name.length), name, Buffer.of(0, 1)]);
  return createHmac('sha256', secret).update(info).digest().subarray(0, length);
}
