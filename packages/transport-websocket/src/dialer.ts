// A device's channels, in the shapes that the HTTP/2 dialer gives them.

import type { DeviceChannel } from '@palyra/channel';
import { certificatesToPem, TlsKey } from '@palyra/identity/certificate';
import { type PairedEnrollment, webEndpoints } from '@palyra/identity/device';
import type { NodeConnection, PairingConnection } from '@palyra/rpc';
import { createCallTransport, inOrder, printableAnswers, type StreamLimits } from '@palyra/rpc/transport';
import { judgeDaemon, ownProof } from './certificates.ts';
import { dialChannel } from './dial.ts';

export interface WebDialOptions {
  /** URL of an HTTP proxy, for `wss:`. Default: none. */
  readonly proxy?: string | undefined;
  /** For a device that has another way to go. Default: the contract's. */
  readonly limits?: Partial<Pick<StreamLimits, 'handshakeTimeoutMs'>>;
}

/** What is known of a daemon whose root is pinned. */
type KnownDaemon = Pick<PairedEnrollment, 'daemonId' | 'trustDomain' | 'trustBundle'>;

/** A daemon that has gone without a word is noticed after this. */
const silenceMs = 45_000;
const keepAliveMs = 20_000;

/**
 * A paired device's connection to the node services, wherever its daemon is.
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
 * A channel for pairing or recovery.
 *
 * @param known the daemon, once its root is pinned: then nobody else is spoken to.
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
    // Whom it reached is proven by the pairing itself, which is bound to the channel.
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

/** The pairing services of a known daemon, wherever it is, for a recovery. @throws as `dialNodeWeb`. */
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
