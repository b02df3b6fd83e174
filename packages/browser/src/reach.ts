// A channel from this browser to a daemon that it is paired with, at the first of the daemon's addresses that answers.

import type { DeviceChannel } from '@palyra/channel';
import { type DeviceCrypto, type PairedEnrollment, webEndpoints } from '@palyra/identity/device-portable';
import { createCallTransport, inOrder, printableAnswers } from '@palyra/rpc/portable';
import { dial } from './dial.ts';

/** A channel with the certificate of this device. @throws as `dial` */
export async function reachNode(crypto: DeviceCrypto, enrollment: PairedEnrollment): Promise<DeviceChannel> {
  const key = await crypto.importTlsKey(enrollment.tlsKey);
  const proof = { chain: enrollment.certificateChain, sign: (data: Uint8Array) => key.sign(data) };
  return inOrder(webEndpoints(enrollment), (url) =>
    dial({ url, purpose: 'node', crypto, proof, known: enrollment }),
  );
}

/** A channel for a recovery, which needs no certificate. @throws as `dial` */
export function reachRecovery(crypto: DeviceCrypto, enrollment: PairedEnrollment): Promise<DeviceChannel> {
  return inOrder(webEndpoints(enrollment), (url) =>
    dial({ url, purpose: 'pair', crypto, known: enrollment }),
  );
}

/** Calls over one channel. */
export function connectionOn(channel: DeviceChannel) {
  return {
    transport: createCallTransport({ connect: async () => channel, interceptors: [printableAnswers] }),
    channelBinding: channel.channelBinding,
    close: () => channel.close(),
    destroy: () => channel.close(),
  };
}
