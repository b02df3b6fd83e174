// A channel from this page to a daemon.

import {
  type ChannelPurpose,
  checkKnownDaemon,
  type DeviceChannel,
  type KnownDaemon,
  notAuthenticated,
  type OwnProof,
  openChannel,
  subprotocolOf,
} from '@palyra/channel';
import type { DeviceCrypto, PairedEnrollment } from '@palyra/identity/device-portable';
import { judgeChainOfOurs } from '@palyra/identity/device-portable';
import { hasCode, IdentityError } from '@palyra/identity/portable';
import { BrowserSocket } from './socket.ts';

/** A daemon that disappeared silently is noticed after this time, ms. */
const silenceMs = 45_000;
/** Chromium also ends an extension's worker after 30 s of silence. */
const keepAliveMs = 20_000;
const openTimeoutMs = 15_000;

export interface DialOptions {
  readonly url: string;
  readonly purpose: ChannelPurpose;
  readonly crypto: DeviceCrypto;
  readonly proof?: OwnProof;
  /** Set once the daemon's root is pinned. Every other server is then refused. */
  readonly known?: (KnownDaemon & Pick<PairedEnrollment, 'trustBundle'>) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** @throws UNREACHABLE, DAEMON_NOT_AUTHENTICATED, CLOCK_SKEW, VERSION_UNSUPPORTED */
export async function dial({
  url,
  purpose,
  crypto,
  proof,
  known,
  signal,
}: DialOptions): Promise<DeviceChannel> {
  const subprotocol = subprotocolOf(purpose);
  const socket = new WebSocket(url, subprotocol);
  await opened(socket, url, signal);
  if (socket.protocol !== subprotocol) {
    socket.close();
    throw new IdentityError('VERSION_UNSUPPORTED', `The server at ${url} does not speak this protocol.`);
  }
  return openChannel(new BrowserSocket(socket), {
    purpose,
    ...(proof && { proof }),
    async judge(chain) {
      if (!known) return undefined;
      const judged = await judgeChainOfOurs(
        async (...signed) => crypto.verifyP256(...signed),
        known.trustBundle,
        chain,
      ).catch((cause) => {
        throw hasCode(cause, 'CERTIFICATE_INVALID')
          ? notAuthenticated('its certificate chain is invalid', cause)
          : cause;
      });
      checkKnownDaemon(judged, known, new Date());
      return judged.publicKey;
    },
    limits: { idleTimeoutMs: silenceMs },
    keepAliveMs,
    ...(signal && { signal }),
  });
}

async function opened(socket: WebSocket, url: string, signal: AbortSignal | undefined): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const giveUp = (error: unknown) => {
    socket.close();
    reject(error);
  };
  const abort = () => giveUp(signal?.reason);
  const timer = setTimeout(() => giveUp(unreachable(url)), openTimeoutMs);
  signal?.addEventListener('abort', abort);
  socket.onopen = () => resolve();
  socket.onerror = () => reject(unreachable(url));
  socket.onclose = () => reject(unreachable(url));
  if (signal?.aborted) abort();
  try {
    await promise;
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', abort);
  }
}

/** A browser does not tell a page the reason. */
function unreachable(url: string): IdentityError {
  const { origin = 'null' } = globalThis as { origin?: string };
  return new IdentityError(
    'UNREACHABLE',
    `No channel opens at ${url}. Check the address, that the daemon runs, and that its configuration lists this page's origin, ${origin}.`,
  );
}
