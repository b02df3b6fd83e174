import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DescEnum, DescFile, DescMessage } from '@bufbuild/protobuf';
import { file_palyra_admin_v1_admin } from './gen/palyra/admin/v1/admin_pb.js';
import { file_palyra_error_v1_error } from './gen/palyra/error/v1/error_pb.js';
import { file_palyra_node_v1_node } from './gen/palyra/node/v1/node_pb.js';
import { file_palyra_pairing_v1_pairing } from './gen/palyra/pairing/v1/pairing_pb.js';
import { knownWord } from './known-word.ts';
import * as sets from './wire-enums.ts';

const enumsIn = (desc: DescFile | DescMessage): DescEnum[] => [
  ...(desc.kind === 'file' ? desc.enums : desc.nestedEnums),
  ...(desc.kind === 'file' ? desc.messages : desc.nestedMessages).flatMap(enumsIn),
];
const enums = [
  file_palyra_admin_v1_admin,
  file_palyra_error_v1_error,
  file_palyra_node_v1_node,
  file_palyra_pairing_v1_pairing,
].flatMap(enumsIn);
const all = Object.values(sets).filter((set) => set instanceof sets.WireWords);

/** `CA_KEY` for `ca key`, and `FAILED` for `CAPABILITY_FAILED`. */
const nameOf = (word: string) =>
  word
    .replace(/^CAPABILITY_/, '')
    .replace(/[ -]/g, '_')
    .toUpperCase();

test('every enum has one set of words, with a word for every value', () => {
  assert.equal(all.length, enums.length);
  const known = all.map((set) => set.words.map(nameOf).sort().join());
  for (const { typeName, values } of enums) {
    assert.equal(values[0]?.localName, 'UNSPECIFIED', typeName);
    const names = values.slice(1).map(({ localName }) => localName);
    assert.ok(known.includes(names.sort().join()), typeName);
  }
});

test('every word survives the way over the wire', () => {
  for (const set of all as readonly sets.WireWords<string, number>[])
    for (const word of set.words) assert.equal(set.fromWire(set.toWire(word)), word);
});

test('an unspecified value or a value of a later version is shown as unknown, and refused as input', () => {
  for (const set of all as readonly sets.WireWords<string, number>[]) {
    for (const value of [0, 99, -1]) {
      assert.equal(set.fromWire(value), undefined);
      assert.equal(set.show(value), 'unknown');
      assert.throws(() => knownWord('A value', set, value), { code: 'MESSAGE_INVALID' });
    }
  }
});
