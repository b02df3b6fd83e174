// Clocks with impossible times: nothing is created with such a date, and the error names the clock.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IdentityManager, MemorySecretStore } from '@palyra/identity';
import { DeviceIdentity } from '@palyra/identity/device';
import { nodeCrypto } from '@palyra/identity/values';
import { openSqliteRegistry } from '@palyra/registry-sql';
import { parseConfig } from '../../packages/daemon/src/config.ts';
import { expectCode } from '../testing/expect-code.ts';
import { HeldClock } from '../testing/held-clock.ts';
import { openIdentity } from '../testing/in-process.ts';

const impossible = [
  '-000500-01-01T00:00:00Z',
  '1949-06-01T00:00:00Z',
  '1970-01-01T00:00:05Z',
  '2024-12-31T00:00:00Z',
  '9985-01-01T00:00:00Z',
  '+012000-01-01T00:00:00Z',
].map((text) => Date.parse(text));

test('a first start at an impossible time writes nothing, and says why', async (t) => {
  const secrets = new MemorySecretStore();
  const registry = await openSqliteRegistry({ path: ':memory:' });
  t.after(() => registry.close());
  for (const ms of [...impossible, Number.NaN]) {
    const opened = IdentityManager.open({ secrets, registry, clock: new HeldClock(ms) });
    const error = await expectCode(opened, 'CLOCK_WRONG');
    assert.match(error.message, /clock says .*set the clock/);
  }
  assert.deepEqual(await secrets.list(), []);
  assert.deepEqual(await registry.authorities(), []);
  await IdentityManager.open({ secrets, registry, clock: new HeldClock() });
});

test('a running daemon refuses to store an impossible date, but still revokes', async (t) => {
  const clock = new HeldClock();
  const identity = await openIdentity(t, { clock });
  const names = { dnsNames: [], ipAddresses: [] };
  for (const ms of impossible) {
    const backMs = clock.now().getTime() - ms;
    clock.advance(-backMs);
    await expectCode(identity.issueServerCredential(names), 'CLOCK_WRONG');
    for (const { list, error } of await identity.revocationLists.current()) {
      assert.equal(list, undefined);
      assert.equal((error as { code?: string }).code, 'CLOCK_WRONG');
    }
    await expectCode(identity.revokeDevice('01K8ZQ4YV3M6X9T2B7C5D1E0FG', 'lost'), 'DEVICE_NOT_FOUND');
    clock.advance(backMs);
  }
  await identity.issueServerCredential(names);
});

test('a device whose clock is before 1970 is told so', async () => {
  const create = () => DeviceIdentity.create(nodeCrypto, new HeldClock(-1));
  await expectCode(Promise.resolve().then(create), 'CLOCK_WRONG');
});

test('no certificate life in the configuration leads to an unrepresentable date', () => {
  for (const name of ['sessionLifeMs', 'requestLifeMs', 'collectLifeMs', 'recoveryOfflineMs'])
    for (const ms of [Number.MAX_SAFE_INTEGER, 8.64e15])
      assert.throws(() => parseConfig({ limits: { [name]: ms } }, 'config.json'), {
        code: 'MESSAGE_INVALID',
      });
  for (const name of ['strangerIdleMs', 'handshakeTimeoutMs', 'quicIdleTimeoutMs'])
    assert.throws(() => parseConfig({ limits: { [name]: 2 ** 31 } }, 'x'), { code: 'MESSAGE_INVALID' });
  parseConfig({ limits: { requestLifeMs: 10 * 365 * 86_400_000, recoveryOfflineMs: 0 } }, 'x');
});
