// A daemon with its own home, and a device that pairs with it over TLS and then calls it over mutual TLS.
// Run it: node examples/over-network.ts

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createClient } from '@connectrpc/connect';
import { startDaemon } from '@palyra/daemon';
import {
  awaitPairing,
  DeviceIdentity,
  MemorySecretStore,
  nodeCrypto,
  parsePairingCode,
  requestPairing,
  systemClock,
} from '@palyra/identity/device';
import { dialPairing, NodeService, pairingPeer, reachNode } from '@palyra/rpc';

// Port 0 takes a free port; a real daemon leaves `config` out and uses 7443 and 7444.
const home = await mkdtemp(join(tmpdir(), 'palyra-example-'));
const local = { host: '127.0.0.1', port: 0 };
const daemon = await startDaemon({ home, config: { pairing: local, node: local } });
const { desk } = daemon.identity;
const { code } = await desk.mint({ kind: 'typed', address: daemon.pairingAddress });

// The device. A program that must stay paired uses a FilesystemSecretStore here.
const secrets = new MemorySecretStore();
const device = {
  identity: await DeviceIdentity.open(secrets, nodeCrypto, systemClock),
  secrets,
  crypto: nodeCrypto,
  clock: systemClock,
  kind: 'node' as const,
  name: 'kitchen sensor',
  platform: 'example',
};
const pairing = await dialPairing(daemon.pairingAddress);
const peer = pairingPeer(pairing);
const pending = await requestPairing(device, peer, parsePairingCode(code), daemon.pairingAddress);

// The operator sees the same words beside the request, and approves the device.
const request = await daemon.identity.registry.pairing(pending.requestId);
if (request?.state !== 'pending_approval' || request.request.words !== pending.words)
  throw new Error('words');
await desk.approve(pending.requestId);
const paired = await awaitPairing(device, peer, pending, { signal: AbortSignal.timeout(10_000) });
pairing.close();

// From now on, mutual TLS: the device verifies the daemon by the pinned root, and the daemon checks its registry.
const node = await reachNode(paired);
const status = await createClient(NodeService, node.transport).status({});
console.log(`${status.deviceName} calls ${status.trustDomain} as ${status.deviceId}`);
node.close();
await daemon.close();
await rm(home, { recursive: true });
