import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import test, { type TestContext } from 'node:test';
import { IdentityManager, MemorySecretStore } from '@palyra/identity';
import { systemClock } from '@palyra/identity/values';
import { openSqliteRegistry } from '@palyra/registry-sql';
import { QuicDeviceListener } from './listener.ts';

async function start(t: TestContext) {
  const registry = await openSqliteRegistry({ path: ':memory:' });
  const identity = await IdentityManager.open({ registry, secrets: new MemorySecretStore() });
  const credential = await identity.issueServerCredential({ dnsNames: [], ipAddresses: [] });
  const listener = await QuicDeviceListener.listen({
    host: '127.0.0.1',
    port: 0,
    credential,
    devices: { trustBundle: identity.trustBundle, authenticator: identity },
    routes: () => {},
    clock: systemClock,
    messageBytes: 1024,
    onInternal: () => {},
  });
  t.after(() => listener.close());
  return { listener, identity, credential };
}

/** @throws EADDRINUSE while a listener uses the port. */
async function bind(port: number): Promise<void> {
  const socket = createSocket('udp4');
  socket.bind({ port, address: '127.0.0.1', exclusive: true });
  await once(socket, 'listening');
  socket.close();
}

test('an unusable new credential leaves no listener, and the next credential restores it', async (t) => {
  const { listener, identity, credential } = await start(t);
  const { port } = listener;
  const noChain = { ...credential, certificateChain: [new Uint8Array(9)] };
  await assert.rejects(listener.swapCredential(noChain, identity.trustBundle), {
    code: 'CERTIFICATE_INVALID',
  });
  assert.equal(listener.port, 0);
  await listener.swapCredential(credential, identity.trustBundle);
  assert.equal(listener.port, port);
});

test('a closed listener stays closed, whether a new credential comes before, during or after the close', async (t) => {
  const { listener, identity, credential } = await start(t);
  const { port } = listener;
  const swap = () => listener.swapCredential(credential, identity.trustBundle);
  const before = swap();
  const closed = listener.close();
  const meanwhile = swap();
  await closed;
  await bind(port);
  await Promise.all([before, meanwhile, swap()]);
  await bind(port);
  assert.equal(listener.port, 0);
});
