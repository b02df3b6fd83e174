import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import test, { type TestContext } from 'node:test';
import { IdentityManager, MemorySecretStore } from '@palyra/identity';
import { systemClock } from '@palyra/identity/values';
import { openSqliteRegistry } from '@palyra/registry-sql';
import { temporaryFolder } from '../../../../tests/testing/temporary-folder.ts';
import { startDaemon } from '../start.ts';
import { QuicRuntime } from './quic-runtime.ts';

async function start(t: TestContext) {
  const registry = await openSqliteRegistry({ path: ':memory:' });
  const identity = await IdentityManager.open({ registry, secrets: new MemorySecretStore() });
  const credential = await identity.issueServerCredential({ dnsNames: [], ipAddresses: [] });
  const runtime = await QuicRuntime.start({
    host: '127.0.0.1',
    port: 0,
    credential,
    trustBundle: identity.trustBundle,
    authenticator: identity,
    routes: () => {},
    clock: systemClock,
    messageBytes: 1024,
    onInternal: () => {},
  });
  t.after(() => runtime.close());
  return { runtime, identity, credential };
}

/** @throws EADDRINUSE while somebody listens there. */
async function bind(port: number): Promise<void> {
  const socket = createSocket('udp4');
  socket.bind({ port, address: '127.0.0.1', exclusive: true });
  await once(socket, 'listening');
  socket.close();
}

test('a new credential that cannot be used leaves no listener, and the next one brings it back', async (t) => {
  const { runtime, identity, credential } = await start(t);
  const { port } = runtime;
  const noChain = { ...credential, certificateChain: [new Uint8Array(9)] };
  await assert.rejects(runtime.swapCredential(noChain, identity.trustBundle), {
    code: 'CERTIFICATE_INVALID',
  });
  assert.equal(runtime.port, 0);
  await runtime.swapCredential(credential, identity.trustBundle);
  assert.equal(runtime.port, port);
});

test('what is closed stays closed, whatever credential comes before, meanwhile or after', async (t) => {
  const { runtime, identity, credential } = await start(t);
  const { port } = runtime;
  const swap = () => runtime.swapCredential(credential, identity.trustBundle);
  const before = swap();
  const closed = runtime.close();
  const meanwhile = swap();
  await closed;
  await bind(port);
  await Promise.all([before, meanwhile, swap()]);
  await bind(port);
  assert.equal(runtime.port, 0);
});

test('a UDP port that another program has is named', async (t) => {
  const other = createSocket('udp4').bind({ port: 0, address: '127.0.0.1', exclusive: true });
  t.after(() => other.close());
  await once(other, 'listening');
  const { port } = other.address();
  const host = '127.0.0.1';
  await assert.rejects(
    startDaemon({
      home: temporaryFolder(),
      config: { pairing: { host, port: 0 }, node: { host, port: 0 }, quic: { host, port } },
    }),
    {
      code: 'UNREACHABLE',
      message: `UDP port ${port} for the quic listener is taken by another program. Stop it, or set quic.port in config.json.`,
    },
  );
});
