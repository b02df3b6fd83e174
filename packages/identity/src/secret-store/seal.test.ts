import { deepEqual, equal, notDeepEqual, throws } from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { MasterKey } from './master-key.ts';
import { checkSecretName } from './name.ts';
import { MAX_SECRET_BYTES } from './port.ts';
import { MAX_RECORD_BYTES, openRecord, openRecordName, RECORD_HEAD_BYTES, sealRecord } from './seal.ts';

const key = new MasterKey(Uint8Array.from({ length: 32 }, (_, at) => at + 100));
const otherKey = new MasterKey(new Uint8Array(32));

// Sealed by a Python program (package cryptography) from this file's module comment, under `key` and salt 00..1f.
const RECORD = [
  '70616c7972612d7365637265742d7631d35d9ac82369dbd38d8db6253af55a26000102030405060708090a0b0c0d0e0f',
  '101112131415161718191a1b1c1d1e1f9f090afba9624c49da28563e1235752aed7cdd42836c2243c9262f1623569e28',
  'd98f3e4e680162d2ffe4f63be60dd59366e6d789ab44d4f8ea8b2c47eb54d5918d0371819e218c2831689ae9707d77de',
  '4da7522f86fe618025c22632884719d68b3cdb48a647ea7dbbb87a0e509745df58aec41e53d74823f0cad950fd04a1a4',
  'eab978cb8ba62e698f7563fb6258499b138322ba3cc4a6453cbe67c0da0e6239ce81760ebdcb699618ed3769f4ba',
].join('');

const segment = fc
  .string({
    unit: fc.constantFrom(...'abcdefghijklmnopqrstuvwxyz0123456789._-'),
    minLength: 1,
    maxLength: 30,
  })
  .filter((text) => text !== '.' && text !== '..');
const nameArbitrary = fc
  .array(segment, { minLength: 1, maxLength: 4 })
  .map((segments) => segments.join('/'))
  .filter((name) => name.length <= 128);
const secretArbitrary = fc.uint8Array({ maxLength: 300 });

test('opens a record that another implementation sealed', () => {
  const record = Buffer.from(RECORD, 'hex');
  equal(new TextDecoder().decode(openRecord(key, 'ca/root', record, 'It')), 'not a real key');
  equal(openRecordName(key, record.subarray(0, RECORD_HEAD_BYTES), 'It'), 'ca/root');
});

test('any secret under any name can be opened, but only with that name and key', () => {
  fc.assert(
    fc.property(nameArbitrary, nameArbitrary, secretArbitrary, (name, otherName, secret) => {
      fc.pre(name !== otherName);
      checkSecretName(name);
      const record = sealRecord(key, name, secret);
      deepEqual(openRecord(key, name, record, 'It'), secret);
      equal(openRecordName(key, record.subarray(0, RECORD_HEAD_BYTES), 'It'), name);
      throws(() => openRecord(key, otherName, record, 'It'), { code: 'SECRET_CORRUPT' });
      throws(() => openRecord(otherKey, name, record, 'It'), { code: 'MASTER_KEY_WRONG' });
      throws(() => openRecordName(otherKey, record, 'It'), { code: 'MASTER_KEY_WRONG' });
    }),
  );
});

test('a change to any byte is detected', () => {
  fc.assert(
    fc.property(
      nameArbitrary,
      secretArbitrary,
      fc.nat(),
      fc.integer({ min: 1, max: 255 }),
      (name, secret, at, flip) => {
        const record = sealRecord(key, name, secret);
        record[at % record.length]! ^= flip;
        throws(() => openRecord(key, name, record, 'It'), { code: 'SECRET_CORRUPT' });
      },
    ),
  );
});

test('reading only the name detects a change to any bit of the head', () => {
  const record = sealRecord(key, 'ca/root', new Uint8Array(8));
  for (let bit = 0; bit < RECORD_HEAD_BYTES * 8; bit += 1) {
    const changed = Uint8Array.from(record);
    changed[bit >> 3]! ^= 1 << (bit & 7);
    throws(() => openRecordName(key, changed, 'It'), { code: 'SECRET_CORRUPT' }, `bit ${bit}`);
  }
});

test('a record that is truncated or extended at any point does not open', () => {
  const record = sealRecord(key, 'ca/root', new Uint8Array(8));
  for (let length = 0; length < record.length; length += 1)
    throws(() => openRecord(key, 'ca/root', record.subarray(0, length), 'It'), { code: 'SECRET_CORRUPT' });
  for (let length = 0; length < RECORD_HEAD_BYTES; length += 1)
    throws(() => openRecordName(key, record.subarray(0, length), 'It'), { code: 'SECRET_CORRUPT' });
  for (const more of [1, 16, MAX_SECRET_BYTES])
    throws(() => openRecord(key, 'ca/root', Buffer.concat([record, new Uint8Array(more)]), 'It'), {
      code: 'SECRET_CORRUPT',
    });
});

test('the largest secret makes the largest record', () => {
  const record = sealRecord(key, 'x', new Uint8Array(MAX_SECRET_BYTES));
  equal(record.length, MAX_RECORD_BYTES);
  equal(openRecord(key, 'x', record, 'It').length, MAX_SECRET_BYTES);
});

test('two records of one secret share only magic and key id, and the length reveals nothing about the name', () => {
  const one = sealRecord(key, 'x', new Uint8Array(64));
  const two = sealRecord(key, 'x', new Uint8Array(64));
  deepEqual(one.subarray(0, 32), two.subarray(0, 32));
  notDeepEqual(one.subarray(32, 64), two.subarray(32, 64));
  notDeepEqual(one.subarray(64, 208), two.subarray(64, 208));
  notDeepEqual(one.subarray(208), two.subarray(208));
  equal(sealRecord(key, 'x'.repeat(128), new Uint8Array(64)).length, one.length);
});
