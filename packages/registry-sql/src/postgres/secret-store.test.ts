import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { masterKeyFromText, type PassphraseHeader } from '@palyra/identity/keys';
import { bytes, secretStoreSuite } from '../../../identity/src/secret-store/testing/secret-store-suite.ts';
import { missingPostgres, PostgresForTests } from '../testing/postgres.ts';
import { SqlSecretStore } from './secret-store.ts';

describe('secrets in PostgreSQL', { skip: missingPostgres }, () => {
  const postgres = new PostgresForTests();
  const [masterKey, otherKey] = ['a', 'b'].map((each) => masterKeyFromText(each.repeat(43)));

  async function open(t: TestContext, url: string, key = masterKey!): Promise<SqlSecretStore> {
    const store = await SqlSecretStore.open({ url, masterKey: key });
    t.after(() => store.close());
    return store;
  }

  secretStoreSuite('SqlSecretStore', async (t) => open(t, await postgres.database()));

  test('daemons that store a new secret at the same time all get the stored one', async (t) => {
    const url = await postgres.database();
    const stores = await Promise.all([0, 1, 2, 3].map(() => open(t, url)));
    const got = await Promise.all(stores.map((store, n) => store.writeNew('ca/root', bytes(n + 1))));
    for (const each of got) assert.deepEqual(each, await stores[0]!.read('ca/root'));
  });

  test('another master key is refused, and changes nothing', async (t) => {
    const url = await postgres.database();
    await (await open(t, url)).write('key', bytes(32));
    await assert.rejects(open(t, url, otherKey), { code: 'MASTER_KEY_WRONG' });
  });

  test('a slower daemon with the same passphrase takes the header of a faster one', async (t) => {
    const url = await postgres.database();
    const openWith = async (derive: (header: PassphraseHeader) => Promise<void>): Promise<void> => {
      const key = async (header: PassphraseHeader) => {
        await derive(header);
        return masterKey!;
      };
      const store = await SqlSecretStore.open({ url, masterKey: key });
      t.after(() => store.close());
    };
    await openWith(async (slower) => {
      assert.equal(await slower.read(), undefined);
      await openWith((faster) => faster.add(bytes(1)));
      await slower.add(bytes(2));
      assert.deepEqual(new Uint8Array((await slower.read())!), bytes(1));
    });
  });

  test('a passphrase is refused where daemons have a key', async (t) => {
    const url = await postgres.database();
    await open(t, url);
    const withPassphrase = async (header: PassphraseHeader) => {
      await header.add(bytes(1));
      return masterKey!;
    };
    await assert.rejects(SqlSecretStore.open({ url, masterKey: withPassphrase }), {
      code: 'MASTER_KEY_WRONG',
    });
  });

  test('a record that was changed or swapped is SECRET_CORRUPT', async (t) => {
    const url = await postgres.database();
    const store = await open(t, url);
    await store.write('a', bytes(32));
    await store.write('b', bytes(32));
    await postgres.server.sql(
      url,
      `update secrets set record = (
         select o.record from secrets o where o.name_mac <> secrets.name_mac and length(o.record) > 70 limit 1
       ) where length(record) > 70`,
    );
    await assert.rejects(store.read('a'), { code: 'SECRET_CORRUPT' });
    await assert.rejects(store.list(), { code: 'SECRET_CORRUPT' });
    await postgres.server.sql(
      url,
      'update secrets set record = set_byte(record, 70, 1 # get_byte(record, 70)) where length(record) > 70',
    );
    await assert.rejects(store.list(), { code: 'SECRET_CORRUPT' });
  });

  test('the table reveals neither names nor secrets', async (t) => {
    const url = await postgres.database();
    const secret = new TextEncoder().encode('a secret that nobody may read');
    await (await open(t, url)).write('authorities/name', secret);
    const [row] = await postgres.server.sql(
      url,
      "select encode(record, 'escape') as text, name_mac from secrets",
    );
    assert.doesNotMatch(JSON.stringify(row), /authorities|nobody may read/);
  });
});
