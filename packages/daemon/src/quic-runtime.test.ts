import assert from 'node:assert/strict';
import test from 'node:test';
import { IdentityManager, MemorySecretStore, systemClock } from '@palyra/identity';
import { openSqliteRegistry } from '@palyra/registry-sql';
import { QuicRuntime } from './quic-runtime.ts';

test('a new credential that cannot be used leaves no listener, and the next one brings it back', async (t) => {
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
  const { port } = runtime;
  const noChain = { ...credential, certificateChain: [new Uint8Array(9)] };
  await assert.rejects(runtime.swapCredential(noChain, identity.trustBundle), {
    code: 'CERTIFICATE_INVALID',
  });
  assert.equal(runtime.port, 0);
  await runtime.swapCredential(credential, identity.trustBundle);
  assert.equal(runtime.port, port);
});
