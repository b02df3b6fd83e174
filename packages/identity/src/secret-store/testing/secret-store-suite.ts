// Tests for every SecretStore. Run by memory.test.ts and filesystem.test.ts.

import { deepEqual, equal, notEqual, ok, rejects } from 'node:assert/strict';
import { suite, type TestContext, test } from 'node:test';
import { MAX_SECRET_BYTES, type SharedSecretStore } from '../port.ts';

export function secretStoreSuite(
  title: string,
  makeStore: (t: TestContext) => Promise<SharedSecretStore>,
): void {
  suite(title, () => {
    test('reads a written secret of any size up to the limit', async (t) => {
      const store = await makeStore(t);
      for (const size of [0, 1, 32, 4096, MAX_SECRET_BYTES]) {
        await store.write(`size/${size}`, bytes(size));
        deepEqual(await store.read(`size/${size}`), bytes(size));
      }
    });

    test('a write replaces an existing secret by a shorter or longer one', async (t) => {
      const store = await makeStore(t);
      for (const size of [100, 3, 0, 200]) {
        await store.write('ca/root', bytes(size));
        deepEqual(await store.read('ca/root'), bytes(size));
      }
      deepEqual(await store.list(), ['ca/root']);
    });

    test('a secret that was never written or was deleted is SECRET_NOT_FOUND', async (t) => {
      const store = await makeStore(t);
      await store.write('kept', bytes(1));
      await store.write('gone', bytes(1));
      await store.delete('gone');
      for (const name of ['gone', 'never', 'kep', 'kept/x']) {
        await rejects(store.read(name), { code: 'SECRET_NOT_FOUND' });
        await rejects(store.delete(name), { code: 'SECRET_NOT_FOUND' });
      }
      deepEqual(await store.read('kept'), bytes(1));
    });

    test('lists the names that start with a prefix, sorted', async (t) => {
      const store = await makeStore(t);
      deepEqual(await store.list(), []);
      const names = ['tls/b', 'tls/a', 'tls', 'tl', 'ca/root', 'tls-old'];
      for (const name of names) await store.write(name, bytes(3));
      deepEqual(await store.list(), [...names].sort());
      deepEqual(await store.list('tls/'), ['tls/a', 'tls/b']);
      deepEqual(await store.list('tls'), ['tls', 'tls-old', 'tls/a', 'tls/b']);
      deepEqual(await store.list('x'), []);
      await store.delete('tls/a');
      deepEqual(await store.list('tls/'), ['tls/b']);
    });

    test('stores a copy and returns a copy', async (t) => {
      const store = await makeStore(t);
      const given = bytes(32);
      const writing = store.write('key', given);
      given.fill(0);
      await writing;
      const first = await store.read('key');
      deepEqual(first, bytes(32));
      equal(first.buffer.byteLength, 32, 'the buffer holds nothing but the secret');
      first.fill(0);
      const second = await store.read('key');
      deepEqual(second, bytes(32));
      notEqual(second.buffer, first.buffer);
    });

    test('stores only the view of a larger buffer', async (t) => {
      const store = await makeStore(t);
      await store.write('view', bytes(100).subarray(10, 20));
      deepEqual(await store.read('view'), bytes(100).slice(10, 20));
    });

    test('refuses an invalid name with a TypeError', async (t) => {
      const store = await makeStore(t);
      const bad = [
        '',
        '/',
        '/a',
        'a/',
        'a//b',
        '.',
        '..',
        'a/../b',
        './a',
        'a/.',
        'A',
        'ä',
        'a b',
        'a\n',
        'a\0b',
      ];
      bad.push('a\\b', 'a:b', 'x'.repeat(129));
      for (const name of [...bad, undefined as unknown as string, 7 as unknown as string]) {
        await rejects(store.read(name), TypeError, `read ${name}`);
        await rejects(store.write(name, bytes(1)), TypeError, `write ${name}`);
        await rejects(store.delete(name), TypeError, `delete ${name}`);
      }
      for (const prefix of ['A', 'a b', 'x'.repeat(129)]) await rejects(store.list(prefix), TypeError);
      deepEqual(await store.list(), []);
    });

    test('accepts every valid name', async (t) => {
      const store = await makeStore(t);
      const names = ['x'.repeat(128), 'a', '0', '-', '_', '...', '.a', 'a..b', 'a/b/c/d', 'ca/issuing.2'];
      for (const name of names) await store.write(name, new TextEncoder().encode(name));
      for (const name of names) deepEqual(await store.read(name), new TextEncoder().encode(name));
      deepEqual(await store.list(), [...names].sort());
    });

    test('refuses an invalid secret with a TypeError, and keeps the old one', async (t) => {
      const store = await makeStore(t);
      await store.write('key', bytes(5));
      await rejects(store.write('key', bytes(MAX_SECRET_BYTES + 1)), TypeError);
      await rejects(store.write('key', 'text' as unknown as Uint8Array), TypeError);
      deepEqual(await store.read('key'), bytes(5));
    });

    test('a new secret is stored once, and every caller gets the stored one', async (t) => {
      const store = await makeStore(t);
      const got = await Promise.all(Array.from({ length: 8 }, (_, n) => store.writeNew('key', bytes(n + 1))));
      const stored = await store.read('key');
      ok(stored.length > 0);
      for (const each of got) deepEqual(each, stored);
      deepEqual(await store.writeNew('key', bytes(40)), stored);
      await store.delete('key');
      deepEqual(await store.writeNew('key', bytes(40)), bytes(40));
      await rejects(store.writeNew('key', 'text' as unknown as Uint8Array), TypeError);
      await rejects(store.writeNew('A', bytes(1)), TypeError);
    });

    test('of simultaneous writes to one name the last one stays, without effect on other names', async (t) => {
      const store = await makeStore(t);
      const writes = [];
      for (let n = 0; n < 20; n += 1) {
        writes.push(store.write('same', bytes(n)), store.write(`own/${n}`, bytes(n)));
      }
      await Promise.all(writes);
      deepEqual(await store.read('same'), bytes(19));
      const read = await Promise.all(Array.from({ length: 20 }, (_, n) => store.read(`own/${n}`)));
      deepEqual(
        read,
        Array.from({ length: 20 }, (_, n) => bytes(n)),
      );
    });
  });
}

/** Recognizable bytes: neither constant nor random. */
export function bytes(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, at) => (at * 7 + length) % 251);
}
