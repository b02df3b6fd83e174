import assert from 'node:assert/strict';
import { createCipheriv } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { makeKey, Opener, Sealer } from './sealed.ts';

const isForeign = { code: 'UNREACHABLE' };

test('what is sealed arrives as it was, however it is cut on the way', () => {
  const lists = fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 5 });
  fc.assert(
    fc.property(
      lists,
      fc.integer({ min: 1, max: 70 }),
      fc.integer({ min: 0, max: 2 ** 40 }),
      (writes, step, id) => {
        const key = makeKey();
        const sealer = new Sealer(key, id);
        const sent = Buffer.concat(writes.map((bytes) => sealer.seal(bytes)));
        const opener = new Opener(key, id);
        const got: Buffer[] = [];
        for (let at = 0; at < sent.length; at += step) got.push(...opener.open(sent.subarray(at, at + step)));
        assert.deepEqual(Buffer.concat(got), Buffer.concat(writes));
      },
    ),
  );
});

test('more than one record holds is sent in several', () => {
  const key = makeKey();
  const content = Buffer.alloc(200_000, 'a');
  const sealed = new Sealer(key, 4).seal(content);
  assert.equal(sealed.length, 200_000 + 4 * 20);
  assert.deepEqual(Buffer.concat(new Opener(key, 4).open(sealed)), content);
});

test('a record is what docs/quic.md says', () => {
  const key = makeKey();
  const sealer = new Sealer(key, 8);
  sealer.seal(Buffer.from('the first record'));
  const cipher = createCipheriv('aes-256-gcm', key, Buffer.from('000000000008000000000001', 'hex'));
  const text = Buffer.concat([cipher.update('the second'), cipher.final(), cipher.getAuthTag()]);
  assert.deepEqual(sealer.seal(Buffer.from('the second')), Buffer.concat([Buffer.from([0, 0, 0, 26]), text]));
});

const record = (key: Uint8Array, id = 4) => new Sealer(key, id).seal(Buffer.from('secret'));
const key = makeKey();
for (const [what, bytes] of [
  ['of another key', record(makeKey())],
  ['of another stream', record(key, 8)],
  ['that was changed', record(key).fill(0, 6, 7)],
  ['that comes twice', Buffer.concat([record(key), record(key)])],
  ['without a tag', Buffer.from([0, 0, 0, 15])],
  ['that is too long', Buffer.from([0, 1, 0, 17])],
  ['of a gigabyte', Buffer.from([0x40, 0, 0, 0])],
] as const)
  test(`a record ${what} is refused`, () => {
    assert.throws(() => new Opener(key, 4).open(bytes), isForeign);
  });
