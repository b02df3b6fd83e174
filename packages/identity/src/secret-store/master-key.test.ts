import { deepEqual, equal, notDeepEqual, notEqual, throws } from 'node:assert/strict';
import { test } from 'node:test';
import { inspect } from 'node:util';
import { MasterKey } from './master-key.ts';

const raw = Uint8Array.from({ length: 32 }, (_, at) => at + 100);

test('a master key has exactly 32 bytes', () => {
  for (const length of [0, 31, 33, 64]) throws(() => new MasterKey(new Uint8Array(length)), TypeError);
  throws(() => new MasterKey('x'.repeat(32) as unknown as Uint8Array), TypeError);
});

test('printing a master key in any way shows none of its bytes', () => {
  const key = new MasterKey(raw);
  equal(String(key), 'MasterKey [redacted]');
  equal(inspect({ key }, { showHidden: true, depth: 9 }), '{ key: MasterKey [redacted] }');
  equal(JSON.stringify({ key }), '{"key":"MasterKey [redacted]"}');
  deepEqual(Object.values(key), [key.id]);
});

test('the key holds a copy of its bytes', () => {
  const given = Uint8Array.from(raw);
  const key = new MasterKey(given);
  given.fill(0);
  deepEqual(key.derive('x', 32), new MasterKey(raw).derive('x', 32));
});

test('key id and derived keys match those of another HKDF-SHA-256 implementation', () => {
  // python: HKDF(SHA256(), 16, None, b"palyra-secret-v1 key id").derive(bytes(range(100, 132)))
  equal(new MasterKey(raw).id, 'd35d9ac82369dbd38d8db6253af55a26');
});

test('each label, salt and master key derives a different key', () => {
  const key = new MasterKey(raw);
  notDeepEqual(key.derive('a', 32), key.derive('b', 32));
  notDeepEqual(key.derive('a', 32), key.derive('a', 32, Uint8Array.of(1)));
  const other = new MasterKey(new Uint8Array(32));
  notDeepEqual(key.derive('a', 32), other.derive('a', 32));
  notEqual(key.id, other.id);
});
