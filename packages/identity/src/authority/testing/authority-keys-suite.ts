// Tests for every store of CA keys. Run by authority-keys.test.ts, and for tokens by signer-pkcs11.

import { deepEqual, equal, notDeepEqual, ok, rejects } from 'node:assert/strict';
import { createPublicKey, verify } from 'node:crypto';
import { suite, type TestContext, test } from 'node:test';
import type { Signer } from '../../certificate/signer.ts';
import { makeUlid, type Ulid } from '../../device-id.ts';
import { hasCode } from '../../errors.ts';
import type { AuthorityKeys } from '../authority-keys.ts';

const data = new TextEncoder().encode('what is signed');

/**
 * @param makePlace creates an empty store.
 * @returns a function that opens the store, and may be called repeatedly.
 */
export function authorityKeysSuite(
  title: string,
  options: { readonly skip: string | false },
  makePlace: (t: TestContext) => Promise<() => Promise<AuthorityKeys>>,
): void {
  suite(title, options, () => {
    test('a new key signs, and still signs after the store is opened again', async (t) => {
      const open = await makePlace(t);
      const id = newId();
      const made = await (await open()).make(id);
      await signs(made, made.publicKey);
      const found = await (await open()).load(id);
      deepEqual(found.publicKey, made.publicKey);
      await signs(found, made.publicKey);
    });

    test('each authority has its own key under its own name', async (t) => {
      const keys = await (await makePlace(t))();
      const [one, two] = [newId(), newId()];
      const [first, second] = [await keys.make(one), await keys.make(two)];
      notDeepEqual(first.publicKey, second.publicKey);
      notDeepEqual(keys.nameOf(one), keys.nameOf(two));
      await signs(await keys.load(one), first.publicKey);
      await signs(await keys.load(two), second.publicKey);
    });

    test('each authority gets only one key, however often and wherever it is requested', async (t) => {
      const open = await makePlace(t);
      const [one, two, id] = [await open(), await open(), newId()];
      const made = await Promise.all([one.make(id), two.make(id), one.make(id)]);
      for (const signer of [...made, await (await open()).make(id)]) {
        deepEqual(signer.publicKey, made[0].publicKey);
        await signs(signer, made[0].publicKey);
      }
    });

    test('a key that was never made is SECRET_NOT_FOUND, and the store keeps working', async (t) => {
      const keys = await (await makePlace(t))();
      await rejects(keys.load(newId()), (error) => hasCode(error, 'SECRET_NOT_FOUND'));
      const made = await keys.make(newId());
      await signs(made, made.publicKey);
    });

    test('data in parts gets the same signature as in one piece', async (t) => {
      const signer = await (await (await makePlace(t))()).make(newId());
      const signing = signer.startSigning();
      for (const byte of data) signing.update(Uint8Array.of(byte));
      holds(await signing.end(), signer.publicKey);
    });

    test('a hundred simultaneous signatures are all valid', async (t) => {
      const signer = await (await (await makePlace(t))()).make(newId());
      const all = Array.from({ length: 100 }, () => signs(signer, signer.publicKey));
      equal((await Promise.all(all)).length, 100);
    });
  });
}

const newId = (): Ulid => makeUlid(new Date(), crypto.getRandomValues(new Uint8Array(10)));

async function signs(signer: Signer, publicKey: Uint8Array): Promise<void> {
  holds(await signer.sign(data), publicKey);
}

function holds(signature: Uint8Array, publicKey: Uint8Array): void {
  const key = createPublicKey({ key: Buffer.from(publicKey), type: 'spki', format: 'der' });
  ok(verify('sha256', data, key, signature));
}
