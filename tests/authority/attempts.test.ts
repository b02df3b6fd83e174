// The next attempt reuses a CA key that was made but not stored. Otherwise each tick would make a key until one is stored, and
// a token would keep them all.

import assert from 'node:assert/strict';
import test from 'node:test';
import { IdentityError, IdentityManager, MemorySecretStore } from '@palyra/identity';
import { type AuthorityKeys, SecretStoreKeys } from '@palyra/identity/keys';
import type { Registry, RegistryTransaction } from '@palyra/identity/registry';
import { openSqliteRegistry } from '@palyra/registry-sql';
import { day, HeldClock, second } from '../testing/held-clock.ts';

const failing = new IdentityError('STORE_FULL', 'for the test');

/** Fails at the chosen point, after the key was made. */
class Faults {
  storing = false;
  signing = false;

  registry(registry: Registry): Registry {
    const transact: Registry['transact'] = (work) =>
      registry.transact((tx) =>
        work(
          overriding<RegistryTransaction>(tx, {
            insertAuthority: async (authority) => {
              if (this.storing) throw failing;
              await tx.insertAuthority(authority);
            },
          }),
        ),
      );
    return overriding(registry, { transact });
  }

  keys(keys: AuthorityKeys): AuthorityKeys {
    return overriding(keys, {
      load: async (authority) => {
        const signer = await keys.load(authority);
        return overriding(signer, {
          sign: async (data) => {
            if (this.signing) throw failing;
            return signer.sign(data);
          },
        });
      },
    });
  }
}

function overriding<T extends object>(whole: T, parts: Partial<T>): T {
  return new Proxy(whole, {
    get(_, name) {
      if (name in parts) return parts[name as keyof T];
      const value = whole[name as keyof T];
      return typeof value === 'function' ? value.bind(whole) : value;
    },
  });
}

test('attempts that fail, before and after a restart, make one key of each authority', async (t) => {
  const clock = new HeldClock(Date.now());
  const secrets = new MemorySecretStore();
  const faults = new Faults();
  const sqlite = await openSqliteRegistry({ path: ':memory:' });
  t.after(() => sqlite.close());
  const open = () =>
    IdentityManager.open({
      secrets,
      registry: faults.registry(sqlite),
      clock,
      authorityKeys: faults.keys(new SecretStoreKeys(secrets)),
    });
  const countKeys = async () => (await secrets.list('authorities/')).length;
  const failsFor = async (times: number, attempt: () => Promise<unknown>) => {
    for (let time = 0; time < times; time += 1) {
      await assert.rejects(attempt(), failing);
      clock.advance(15 * second);
    }
  };

  faults.storing = true;
  await failsFor(3, open);
  assert.equal(await countKeys(), 1, 'the root at the first start');
  faults.storing = false;
  const identity = await open();
  assert.equal(await countKeys(), 2, 'root and issuing CA');

  // Long enough for a start to make one too.
  clock.advance(100 * day);
  faults.signing = true;
  await failsFor(3, () => identity.tick());
  faults.signing = false;
  faults.storing = true;
  await failsFor(3, () => identity.tick());
  await failsFor(3, open);
  await failsFor(3, () => identity.rootRotation.prepare());
  assert.equal(await countKeys(), 4, 'one issuing CA and one root are being created');
  faults.storing = false;
  await identity.tick();
  await identity.rootRotation.prepare();
  assert.equal(await countKeys(), 4);

  clock.advance(61 * day);
  await identity.tick();
  assert.equal(await countKeys(), 5, 'the next one has its own key');
  assert.equal((await sqlite.authorities()).length, 5);
  await (await open()).issueServerCredential({ dnsNames: [], ipAddresses: [] });
});
