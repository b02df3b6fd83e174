// Dials channels for a device, and returns the same types as the HTTP/2 dialer.

import type { DeviceChannel } from '@palyra/channel';
import { certificatesToPem, TlsKey } from '@palyra/identity/certificate';
import { type PairedEnrollment, webEndpoints } from '@palyra/identity/device';
import type { NodeConnection, PairingConnection } from '@palyra/rpc';
import { createCallTransport, inOrder, printableAnswers, type StreamLimits } from '@palyra/rpc/portable';
import { judgeDaemon, ownProof } from './certificates.ts';
import { dialChannel } from './dial.ts';
import type { ProxyOptions } from './proxy.ts';

export interface WebDialOptions extends ProxyOptions {
  /** Set for a device that can try another transport. Default: the limits of the stream contract. */
  readonly limits?: Partial<Pick<StreamLimits, 'handshakeTimeoutMs'>>;
}

/** The known facts of a daemon whose root is pinned. */
type KnownDaemon = Pick<PairedEnrollment, 'daemonId' | 'trustDomain' | 'trustBundle'>;

/** How long the daemon may be silent before the channel ends, ms. */
const silenceMs = 45_000;
const keepAliveMs = 20_000;

/**
 * Connects a paired device to the node services, trying each of the daemon's addresses in order.
 *
 * @throws UNREACHABLE, DAEMON_NOT_AUTHENTICATED, CLOCK_SKEW, VERSION_UNSUPPORTED
 */
export function dialNodeWeb(
  enrollment: PairedEnrollment,
  options: WebDialOptions = {},
): Promise<NodeConnection> {
  return inOrder(webEndpoints(enrollment), async (address) => {
    const channel = await dialChannel({
      ...options,
      url: new URL(address),
      purpose: 'node',
      proof: ownProof({
        certificateChain: certificatesToPem(enrollment.certificateChain),
        privateKey: TlsKey.fromPkcs8(enrollment.tlsKey).toPem(),
      }),
      judge: judgeOf(enrollment),
      limits: { ...options.limits, idleTimeoutMs: silenceMs },
      keepAliveMs,
    });
    return { name: 'websocket', address, ...connectionOn(channel), closed: channel.closed };
  });
}

/**
 * Opens a channel for pairing or recovery.
 *
 * @param known the daemon, once its root is pinned. The device then talks to no other daemon.
 * @throws as `dialNodeWeb`.
 */
export async function dialPairingWeb(
  address: string,
  known?: KnownDaemon,
  options: WebDialOptions = {},
): Promise<PairingConnection> {
  const channel = await dialChannel({
    ...options,
    url: new URL(address),
    purpose: 'pair',
    // The pairing itself authenticates the daemon, and is bound to the channel.
    judge: known ? judgeOf(known) : () => undefined,
    limits: { ...options.limits, idleTimeoutMs: silenceMs },
    keepAliveMs,
  });
  return {
    ...connectionOn(channel),
    channelBinding: channel.channelBinding,
    closed: channel.closed.then(() => undefined),
    isKnownDaemon: known !== undefined,
  };
}

/** Connects to the pairing services of a known daemon for a recovery, trying each address in order. @throws as `dialNodeWeb`. */
export function reachPairingWeb(
  enrollment: PairedEnrollment,
  options: WebDialOptions = {},
): Promise<PairingConnection> {
  return inOrder(webEndpoints(enrollment), (address) => dialPairingWeb(address, enrollment, options));
}

function judgeOf({ daemonId, trustDomain, trustBundle }: KnownDaemon) {
  return judgeDaemon({ roots: trustBundle, trustDomain, daemonId });
}

function connectionOn(channel: DeviceChannel) {
  return {
    transport: createCallTransport({ connect: async () => channel, interceptors: [printableAnswers] }),
    close: () => channel.close(),
    destroy: () => channel.close(),
  };
}
