// The only place that dials TLS. It authenticates the server before any HTTP/2 is sent or read. Environment variables cannot
// change the verdict.

import tls from 'node:tls';
import { hasCode, IdentityError } from '@palyra/identity';
import { ChainJudge, certificatesToPem, daemonSpiffeId } from '@palyra/identity/certificate';
import type { PairedEnrollment } from '@palyra/identity/device';
import { parseEndpoint, reasonOf } from '@palyra/identity/values';
import { opensslVerdict, peerChain } from '../access/peer-chain.ts';
import { tcpKeepAlive } from '../connections/live-connections.ts';
import { connectTimeoutMs, timedOut } from './connection-over.ts';
import { dialAddresses } from './happy-eyeballs.ts';
import { tlsSettings } from './tls-settings.ts';

/** The facts about a daemon that an enrollment holds. */
export type KnownDaemon = Pick<PairedEnrollment, 'daemonId' | 'trustDomain' | 'trustBundle'>;

export interface TlsDial {
  /** host:port */
  readonly address: string;
  /** `anyone` only for a pairing, whose protocol authenticates the server itself. */
  readonly peer: KnownDaemon | 'anyone';
  /** Of the daemons of a fleet, the one with one of these certificates. Default: any of them. */
  readonly fingerprints?: readonly string[];
  /** PEM. */
  readonly credential?: { readonly cert: string; readonly key: string };
  /** Message for a peer that does not speak our TLS. */
  readonly isAnother: string;
}

/** @throws UNREACHABLE, DAEMON_NOT_AUTHENTICATED, CLOCK_SKEW; CERTIFICATE_INVALID for an invalid trust bundle. */
export async function dialTls(dial: TlsDial): Promise<tls.TLSSocket> {
  const { host } = parseEndpoint(dial.address);
  return dialAddresses(
    host,
    (ip, signal) => dialOne(ip, dial, signal),
    (late) => late.destroy(),
  );
}

/** Connects to one IP address. */
async function dialOne(
  ip: string,
  { address, peer, fingerprints, credential, isAnother }: TlsDial,
  signal: AbortSignal,
): Promise<tls.TLSSocket> {
  const known = peer === 'anyone' ? undefined : { ...peer, judge: new ChainJudge(peer.trustBundle) };
  const socket = tls.connect({
    ...tcpKeepAlive,
    host: ip,
    port: parseEndpoint(address).port,
    ...tlsSettings,
    ALPNProtocols: ['h2'],
    ...credential,
    // The roots for OpenSSL's verdict, which `checkDaemon` also requires. Without a root no peer is trusted, whatever the
    // environment adds.
    ca: known ? certificatesToPem(known.trustBundle) : [],
    ...(known && { servername: known.trustDomain }),
    // Node's check would end the connection on OpenSSL's last error, before the chain can be read. A wrong clock and an
    // impostor would look alike. `checkDaemon` is stricter, and the environment cannot disable it.
    rejectUnauthorized: false,
  });
  const giveUp = () => socket.destroy();
  signal.addEventListener('abort', giveUp, { once: true });
  await handshake(socket, address, isAnother);
  signal.removeEventListener('abort', giveUp);
  if (!known) return socket;
  try {
    checkDaemon(socket, known, fingerprints);
  } catch (error) {
    socket.destroy();
    throw error;
  }
  return socket;
}

/**
 * Checks that the chain is ours and belongs to the daemon, because a device's certificate has the same root and may serve TLS
 * too. Checks the dates last, because the dates of another server do not matter.
 */
function checkDaemon(
  socket: tls.TLSSocket,
  known: KnownDaemon & { readonly judge: ChainJudge },
  fingerprints: readonly string[] | undefined,
): void {
  const openssl = opensslVerdict(socket);
  if (openssl === 'bad')
    throw notAuthenticated('its certificate chain is invalid', socket.authorizationError);
  const { leaf, notBefore, notAfter } = judge(socket, known.judge);
  const { kind, trustDomain, id } = leaf.spiffeId;
  if (kind !== 'daemon' || trustDomain !== known.trustDomain || id !== known.daemonId)
    throw notAuthenticated(`it is not ${daemonSpiffeId(known.trustDomain, known.daemonId)}`);
  if (fingerprints && !fingerprints.includes(leaf.fingerprint))
    throw notAuthenticated('it is another daemon of the fleet');
  const now = Date.now();
  if (openssl === 'good' && now >= notBefore.getTime() && now < notAfter.getTime()) return;
  throw new IdentityError(
    'CLOCK_SKEW',
    `The daemon's certificate is not valid at this device's time, ${new Date(now).toISOString()}. Set the clock right, or restart the daemon if it was asleep for days.`,
  );
}

function judge(socket: tls.TLSSocket, chainJudge: ChainJudge) {
  try {
    return chainJudge.judge(peerChain(socket));
  } catch (cause) {
    if (hasCode(cause, 'CERTIFICATE_INVALID')) throw notAuthenticated(cause.message, cause);
    throw cause;
  }
}

function notAuthenticated(why: string, cause?: unknown): IdentityError {
  return new IdentityError(
    'DAEMON_NOT_AUTHENTICATED',
    `The peer at this address is not the daemon this device was paired with (${why}).`,
    { cause },
  );
}

function handshake(socket: tls.TLSSocket, address: string, isAnother: string): Promise<void> {
  return new Promise<void>((resolve, reject) => {
    const timer = setTimeout(() => socket.destroy(timedOut()), connectTimeoutMs);
    socket.once('secureConnect', () => {
      clearTimeout(timer);
      resolve();
    });
    socket.once('error', (cause: NodeJS.ErrnoException) => {
      clearTimeout(timer);
      reject(unreachable(cause, address, isAnother));
    });
    // An abandoned attempt reports no error.
    socket.once('close', () => {
      clearTimeout(timer);
      reject(unreachable(timedOut(), address, isAnother));
    });
  });
}

function unreachable(cause: NodeJS.ErrnoException, address: string, isAnother: string): IdentityError {
  // OpenSSL's message about a peer without our TLS helps nobody.
  if (cause.code === 'EPROTO' || cause.code?.startsWith('ERR_SSL_'))
    return new IdentityError('UNREACHABLE', isAnother, { cause });
  return new IdentityError(
    'UNREACHABLE',
    `No daemon answers at ${address}. Check the address and that it runs. (${reasonOf(cause)})`,
    { cause },
  );
}
