// HTTP/2 as bytes (RFC 9113), for peers that violate it.

import type { Socket } from 'node:net';
import { setTimeout } from 'node:timers/promises';

export const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');

export function frame(
  type: keyof typeof types,
  { flags = 0, stream = 0, body = Buffer.alloc(0) }: { flags?: number; stream?: number; body?: Buffer } = {},
): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(body.length, 0, 3);
  head[3] = types[type];
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, body]);
}

const types = { HEADERS: 1, RST_STREAM: 3, SETTINGS: 4, PING: 6, GOAWAY: 7, CONTINUATION: 9 } as const;
export const endStream = 1;
export const endHeaders = 4;

/** The header block of a POST, each field a literal without indexing (RFC 7541 6.2.2). */
export function headerBlock(more: readonly (readonly [string, string])[] = []): Buffer {
  const fields = [
    [':method', 'POST'],
    [':scheme', 'https'],
    [':path', '/palyra.node.v1.NodeService/Status'],
    [':authority', 'x'],
    ['content-type', 'application/grpc+proto'],
    ...more,
  ] as const;
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

/** A small header block that expands: one long field, and thousands of references to it (RFC 7541 6.1). */
export function headerBomb(): Buffer {
  const field = Buffer.concat([Buffer.of(0x40), text('x-bomb'), text('y'.repeat(3_900))]);
  return Buffer.concat([headerBlock(), field, Buffer.alloc(12_000, 0x80 | 62)]);
}

/** Resolves at the close, even after an error. */
export function closed(socket: Socket): Promise<void> {
  socket.on('error', () => {});
  return new Promise((resolve) => {
    if (socket.closed) resolve();
    socket.once('close', () => resolve());
  });
}

/** Sends the pieces as fast as possible, until the last one or the peer's close. @returns the number sent. */
export async function pour(socket: Socket, pieces: Iterable<Buffer>, pauseMs = 0): Promise<number> {
  // Reads the answers, so that the daemon can continue to send.
  socket.resume();
  const gone = closed(socket);
  let sent = 0;
  for (const piece of pieces) {
    if (socket.destroyed) break;
    sent += 1;
    if (!socket.write(piece)) await Promise.race([drained(socket), gone]);
    if (pauseMs > 0) await setTimeout(pauseMs);
  }
  return sent;
}

const drained = (socket: Socket) => new Promise<void>((resolve) => socket.once('drain', () => resolve()));
