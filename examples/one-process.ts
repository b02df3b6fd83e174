// A daemon and a device pair in one process, without sockets or files. Useful for tests of your own program.
// Run it: node examples/one-process.ts

import { IdentityManager } from '@palyra/identity';
import {
  awaitPairing,
  DeviceIdentity,
  hasCode,
  MemorySecretStore,
  nodeCrypto,
  type PairingPeer,
  parsePairingCode,
  readPeerCertificate,
  requestPairing,
  systemClock,
} from '@palyra/identity/device';
import { openSqliteRegistry } from '@palyra/registry-sql';

// The daemon: a store has its keys, a registry has its devices. The first open creates its CA.
const registry = await openSqliteRegistry({ path: ':memory:' });
const daemon = await IdentityManager.open({ secrets: new MemorySecretStore(), registry });
const { code } = await daemon.desk.mint({ kind: 'typed', address: 'localhost:7443' });

// The device: its Ed25519 identity is created here and never leaves.
const secrets = new MemorySecretStore();
const device = {
  identity: await DeviceIdentity.open(secrets, nodeCrypto, systemClock),
  secrets,
  crypto: nodeCrypto,
  clock: systemClock,
  kind: 'cli' as const,
  name: 'my laptop',
  platform: 'example',
};

// Normally a TLS connection is in between, and its exporter gives both sides these 32 bytes.
const channel = { channelBinding: nodeCrypto.randomBytes(32), source: 'this process' };
const peer: PairingPeer = {
  channelBinding: channel.channelBinding,
  isKnownDaemon: false,
  open: (request) => daemon.responder.open(channel, request),
  exchange: (request) => daemon.responder.exchange(channel, request),
  confirm: (request) => daemon.responder.confirm(channel, request),
  await: (request, signal) => daemon.responder.await(channel, request, signal),
};

const pending = await requestPairing(device, peer, parsePairingCode(code), 'localhost:7443');
await daemon.desk.approve(pending.requestId); // The operator, after comparing pending.words.
const paired = await awaitPairing(device, peer, pending, { signal: AbortSignal.timeout(10_000) });

// A listener checks every connection and every call by the fingerprint of the client's certificate.
const { fingerprint, spiffeId } = readPeerCertificate(paired.certificateChain[0]!);
console.log(`paired ${spiffeId.kind} ${(await daemon.admit(fingerprint)).deviceId}`);
await daemon.revokeDevice(device.identity.id, 'lost');
const error = await daemon.authenticate(fingerprint).catch((refusal) => refusal);
console.log(hasCode(error, 'DEVICE_REVOKED') ? 'revoked: DEVICE_REVOKED' : error);
await registry.close();
