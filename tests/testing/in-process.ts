// Both sides of a pairing in one process, without sockets, for faults that a test cannot trigger in a network.

import type { TestContext } from 'node:test';
import { IdentityManager, type IdentityManagerOptions, MemorySecretStore } from '@palyra/identity';
import type { PairingPeer, RecoveryPeer } from '@palyra/identity/device';
import { nodeCrypto } from '@palyra/identity/values';
import { openSqliteRegistry } from '@palyra/registry-sql';

export async function openIdentity(
  t: TestContext,
  options: Partial<IdentityManagerOptions> = {},
): Promise<IdentityManager> {
  const registry = await openSqliteRegistry({ path: ':memory:' });
  t.after(() => registry.close());
  return IdentityManager.open({ secrets: new MemorySecretStore(), registry, ...options });
}

/** The daemon as a device sees it on one channel. */
export function peerOf({ responder }: IdentityManager): PairingPeer {
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

/** The daemon for a recovery. */
export function recoveryPeerOf({ renewals }: IdentityManager): RecoveryPeer {
  const channel = { channelBinding: nodeCrypto.randomBytes(32), source: '127.0.0.1' };
  return {
    channelBinding: channel.channelBinding,
    challenge: async () => renewals.challenge(channel),
    recover: (request) => renewals.recover(channel, request),
  };
}
