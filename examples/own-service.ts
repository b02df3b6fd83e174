// Your own service inside the daemon: paired devices call it over HTTP/2 and QUIC, and a revocation ends their calls.
// Run it: node examples/own-service.ts
// The service is in proto/hello/v1/hello.proto; `npm run generate` makes gen/ of it, with protoc-gen-es.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createClient } from '@connectrpc/connect';
import { callingDevice, type OwnService, startDaemon } from '@palyra/daemon';
import * as palyra from '@palyra/identity/device';
import { dialPairing, fromConnectError, pairingPeer, reachNode } from '@palyra/rpc';
import { createQuic, dialNodeQuic } from '@palyra/transport-quic';
import { HelloService } from './gen/hello/v1/hello_pb.js';

// The daemon's side: handlers, and the roles that may call them.
const hello: OwnService = {
  access: { 'hello.v1.HelloService/Greet': 'device', 'hello.v1.HelloService/Watch': 'device' },
  routes: (router) =>
    router.service(HelloService, {
      greet({ greeting }, context) {
        const { name, deviceId, role, serial } = callingDevice(context);
        return { text: `${greeting}, ${name}! (${role} ${deviceId}, certificate ${serial})` };
      },
      async *watch(_request, { signal }) {
        // The signal is aborted when the caller leaves or is revoked.
        for (let tick = 1; ; tick++) {
          yield { tick };
          await sleep(10, undefined, { signal });
        }
      },
    }),
};
const home = await mkdtemp(join(tmpdir(), 'palyra-example-'));
const local = { host: '127.0.0.1', port: 0 };
const config = { pairing: local, node: local, quic: { host: '127.0.0.1' }, console: { enabled: false } };
const daemon = await startDaemon({ home, config, services: [hello] });

// The device's side, after pairing: the generated client, over either transport.
const { nodeCrypto: crypto, systemClock: clock } = palyra;
const secrets = new palyra.MemorySecretStore(); // A program that must stay paired uses a FilesystemSecretStore.
const identity = await palyra.DeviceIdentity.open(secrets, crypto, clock);
const about = { kind: 'node', name: 'kitchen sensor', platform: 'example' } as const;
const paired = await pair({ identity, secrets, crypto, clock, ...about });
const http2 = await reachNode(paired);
const quic = await dialNodeQuic(createQuic(), paired);
for (const connection of [http2, quic]) {
  const { text } = await createClient(HelloService, connection.transport).greet({ greeting: 'Hello' });
  console.log(`${connection.name}: ${text}`);
}
// The operator revokes the device during its calls.
await Promise.all([http2, quic].map(watchUntilRevoked));
await daemon.close();
await rm(home, { recursive: true });

async function watchUntilRevoked({ name, transport }: typeof http2 | typeof quic): Promise<void> {
  try {
    for await (const { tick } of createClient(HelloService, transport).watch({}))
      if (tick === 3) await daemon.identity.revokeDevice(identity.id, 'lost');
  } catch (error) {
    console.log(`${name}: ${fromConnectError(error).code}`);
  }
}

async function pair(device: palyra.PairingDevice) {
  const { desk } = daemon.identity;
  const { code } = await desk.mint({ kind: 'typed', address: daemon.pairingAddress });
  const pairing = await dialPairing(daemon.pairingAddress);
  const [peer, parsed] = [pairingPeer(pairing), palyra.parsePairingCode(code)];
  const pending = await palyra.requestPairing(device, peer, parsed, daemon.pairingAddress);
  await desk.approve(pending.requestId); // The operator, after comparing pending.words.
  const signal = AbortSignal.timeout(10_000);
  return palyra.awaitPairing(device, peer, pending, { signal }).finally(() => pairing.close());
}
