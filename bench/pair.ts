// A full pairing in one process: the operator, the device and the daemon, without a network in between.

import { type IdentityManager, MemorySecretStore } from '@palyra/identity';
import {
  awaitPairing,
  DeviceIdentity,
  type PairedEnrollment,
  type PairingDevice,
  type PairingPeer,
  requestPairing,
} from '@palyra/identity/device';
import { parsePairingCode } from '@palyra/identity/pairing';
import { nodeCrypto, systemClock } from '@palyra/identity/values';

const address = '127.0.0.1:7443';

/** A new device. */
export async function newDevice(): Promise<PairingDevice> {
  return {
    identity: await DeviceIdentity.create(nodeCrypto, systemClock),
    secrets: new MemorySecretStore(),
    crypto: nodeCrypto,
    clock: systemClock,
    kind: 'cli',
    name: 'laptop',
    platform: 'linux',
  };
}

/** A full pairing, from the minting of the code to the device's certificate. */
export async function pair(manager: IdentityManager, device: PairingDevice): Promise<PairedEnrollment> {
  const { code } = await manager.desk.mint({ kind: 'typed', address });
  const peer = peerOf(manager);
  const pending = await requestPairing(device, peer, parsePairingCode(code), address);
  await manager.desk.approve(pending.requestId);
  return awaitPairing(device, peer, pending, { signal: new AbortController().signal });
}

function peerOf({ responder }: IdentityManager): PairingPeer {
  const channel = { channelBinding: nodeCrypto.randomBytes(32), source: '127.0.0.1' };
  return {
    channelBinding: channel.channelBinding,
    isKnownDaemon: true,
    open: (request) => responder.open(channel, request),
    exchange: (request) => responder.exchange(channel, request),
    confirm: (request) => responder.confirm(channel, request),
    await: (request, signal) => responder.await(channel, request, signal),
  };
}
