// What every place of CA keys must do. Run by authority-keys.test.ts, and for tokens by signer-pkcs11.

import { deepEqual, equal, notDeepEqual, ok, rejects } from 'node:assert/strict';
import { createPublicKey, verify } from 'node:crypto';
import { suite, type TestContext, test } from 'node:test';
import type { Signer } from '../../certificate/signer.ts';
import { makeUlid, type Ulid } from '../../device-id.ts';
import { hasCode } from '../../errors.ts';
import type { AuthorityKeys } from '../authority-keys.ts';

const data = new TextEncoder().encode('what is signed');

/**
 * @param makePlace an empty place.
 * @returns what opens it, as often as it is called.
 */
export function authorityKeysSuite(
  title: string,
  options: { readonly skip: string | false },
  makePlace: (t: TestContext) => Promise<() => Promise<AuthorityKeys>>,
): void {
  suite(title, options, () => {
    test('a key that is made signs, and does so wherever the place is opened', async (t) => {
      const open = await makePlace(t);
      const id = newId();
      const made = await (await open()).make(id);
      await signs(made, made.publicKey);
      const found = await (await open()).load(id);
      deepEqual(found.publicKey, made.publicKey);
      await signs(found, made.publicKey);
    });

    test('each authority has a key of its own, under a name of its own', async (t) => {
      const keys = await (await makePlace(t))();
      const [one, two] = [newId(), newId()];
      const [first, second] = [await keys.make(one), await keys.make(two)];
      notDeepEqual(first.publicKey, second.publicKey);
      notDeepEqual(keys.nameOf(one), keys.nameOf(two));
      await signs(await keys.load(one), first.publicKey);
      await signs(await keys.load(two), second.publicKey);
    });

    test('a key is made once for each authority, however often and wherever it is asked for', async (t) => {
      const open = await makePlace(t);
      const [one, two, id] = [await open(), await open(), newId()];
      const made = await Promise.all([one.make(id), two.make(id), one.make(id)]);
      for (const signer of [...made, await (await open()).make(id)]) {
        deepEqual(signer.publicKey, made[0].publicKey);
        await signs(signer, made[0].publicKey);
      }
    });

    test('says SECRET_NOT_FOUND for a key that was never made, and goes on', async (t) => {
      const keys = await (await makePlace(t))();
      await rejects(keys.load(newId()), (error) => hasCode(error, 'SECRET_NOT_FOUND'));
      const made = await keys.make(newId());
      await signs(made, made.publicKey);
    });

    test('data in parts is signed as the whole is', async (t) => {
      const signer = await (await (await makePlace(t))()).make(newId());
      const signing = signer.startSigning();
      for (const byte of data) signing.update(Uint8Array.of(byte));
      holds(await signing.end(), signer.publicKey);
    });

    test('a hundred signatures at once are each right', async (t) => {
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
