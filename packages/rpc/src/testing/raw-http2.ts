// An HTTP/2 client that writes raw bytes (RFC 9113), for behaviour that no library offers.

import { once } from 'node:events';
import type { Socket } from 'node:net';

export const frameType = {
  data: 0,
  headers: 1,
  priority: 2,
  reset: 3,
  settings: 4,
  ping: 6,
  goaway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const;
export const flag = { endStream: 1, ack: 1, endHeaders: 4, padded: 8 } as const;

export interface RawFrame {
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
  readonly payload: Buffer;
}

export function rawFrame(
  type: number,
  { flags = 0, stream = 0, payload = Buffer.alloc(0) }: Partial<Omit<RawFrame, 'type'>> = {},
): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

export function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/** Writes each field as a literal without indexing (RFC 7541 6.2.2). */
export function headerBlock(fields: readonly (readonly [string, string])[]): Buffer {
  return Buffer.concat(fields.flatMap(([name, value]) => [Buffer.of(0), text(name), text(value)]));
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value);
  if (bytes.length < 127) return Buffer.concat([Buffer.of(bytes.length), bytes]);
  // Integers of more than 7 bits (RFC 7541 5.1).
  const length: number[] = [127];
  let rest = bytes.length - 127;
  for (; rest >= 128; rest >>= 7) length.push((rest & 127) | 128);
  return Buffer.concat([Buffer.from([...length, rest]), bytes]);
}

export const postHeaders = (path: string, more: readonly (readonly [string, string])[] = []) =>
  headerBlock([
    [':method', 'POST'],
    [':scheme', 'https'],
    [':path', path],
    [':authority', 'x'],
    ['content-type', 'application/grpc+proto'],
    ['te', 'trailers'],
    ...more,
  ]);

/** Speaks HTTP/2 on a connected socket. Never acknowledges or grants anything by itself. */
export class RawHttp2 {
  readonly socket: Socket;
  /** The received frames, in order. */
  readonly frames: RawFrame[] = [];
  readonly closed: Promise<void>;
  #waiting = Buffer.alloc(0);
  #isClosed = false;
  #wake = Promise.withResolvers<void>();

  /** @param settings payload of the first SETTINGS. */
  constructor(socket: Socket, settings: Buffer = Buffer.alloc(0)) {
    this.socket = socket;
    socket.on('error', () => {});
    socket.on('data', (bytes: Buffer) => this.#take(bytes));
    this.closed = new Promise((resolve) => {
      socket.once('close', () => {
        this.#isClosed = true;
        this.#notify();
        resolve();
      });
    });
    socket.write(Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'));
    this.send(frameType.settings, { payload: settings });
  }

  /** @returns whether the socket accepts more immediately. */
  send(type: number, frame: Partial<Omit<RawFrame, 'type'>> = {}): boolean {
    return !this.socket.destroyed && this.socket.write(rawFrame(type, frame));
  }

  /** Sends, after waiting for room if necessary. @returns whether the connection is still open. */
  async pour(bytes: Buffer): Promise<boolean> {
    if (this.socket.destroyed) return false;
    if (this.socket.write(bytes)) return true;
    await Promise.race([once(this.socket, 'drain'), this.closed]).catch(() => {});
    return !this.socket.destroyed;
  }

  /** The first frame that matches. @throws when it does not arrive in time, or the connection ends without it. */
  async frame(fits: (frame: RawFrame) => boolean, timeoutMs = 20_000): Promise<RawFrame> {
    const late = AbortSignal.timeout(timeoutMs);
    for (;;) {
      const found = this.frames.find(fits);
      if (found) return found;
      if (this.#isClosed) throw new Error('the connection ended without this frame');
      const { promise } = this.#wake;
      await Promise.race([promise, once(late, 'abort')]);
      if (late.aborted) throw new Error(`no such frame in ${timeoutMs} ms`);
    }
  }

  #notify(): void {
    this.#wake.resolve();
    this.#wake = Promise.withResolvers<void>();
  }

  #take(bytes: Buffer): void {
    this.#waiting = Buffer.concat([this.#waiting, bytes]);
    while (this.#waiting.length >= 9) {
      const end = 9 + this.#waiting.readUIntBE(0, 3);
      if (this.#waiting.length < end) break;
      this.frames.push({
        type: this.#waiting[3]!,
        flags: this.#waiting[4]!,
        stream: this.#waiting.readUInt32BE(5),
        payload: Buffer.from(this.#waiting.subarray(9, end)),
      });
      this.#waiting = this.#waiting.subarray(end);
    }
    this.#notify();
  }
}
