// The operator's way to the daemon of this machine. It has a file of its own because a command that loads nothing of TLS and
// of certificates starts in half the time.

import net from 'node:net';
import type { ErrorFields } from '@palyra/identity/errors';
import { IdentityError } from '@palyra/identity/errors';
import { reasonOf } from '@palyra/identity/values';
import { connectTimeoutMs, type Http2Connection, overHttp2, timedOut } from './connection-over.ts';

/** Dials the admin socket of a daemon on this machine. @throws UNREACHABLE */
export async function dialAdmin(socketPath: string): Promise<Http2Connection> {
  const socket = net.connect(socketPath);
  await connected(socket, `No daemon answers at ${socketPath}.`, { about: 'admin_socket' });
  return overHttp2(socket, 'localhost', new Uint8Array());
}

async function connected(socket: net.Socket, unreachable: string, fields: ErrorFields): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const timer = setTimeout(() => socket.destroy(timedOut()), connectTimeoutMs);
    socket.once('connect', () => {
      clearTimeout(timer);
      resolve();
    });
    socket.once('error', (cause) => {
      clearTimeout(timer);
      reject(new IdentityError('UNREACHABLE', `${unreachable} (${reasonOf(cause)})`, { ...fields, cause }));
    });
  });
}
