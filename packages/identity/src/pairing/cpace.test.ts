import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bytesToHex, hexToBytes } from '@noble/curves/utils.js';
import { nodeCrypto } from '../crypto/node.ts';
import { hasCode } from '../errors.ts';
import { calculateGenerator, makeShare, scalarMultVfy, sessionKey } from './cpace.ts';
import { cpaceVectors, scalarMultVfyVectors } from './testing/cpace-vectors.ts';

for (const vector of cpaceVectors) {
  test(`every value of set ${vector.name} of the official vectors is reproduced`, async () => {
    const bytes = (name: 'PRS' | 'CI' | 'sid' | 'ya' | 'yb' | 'ADa' | 'ADb') => hexToBytes(vector[name]);
    const sid = bytes('sid');
    const g = await calculateGenerator(nodeCrypto, { prs: bytes('PRS'), ci: bytes('CI'), sid });
    assert.equal(bytesToHex(g), vector.g);
    const ya = await scalarMultVfy(nodeCrypto, bytes('ya'), g);
    assert.equal(bytesToHex(ya), vector.Ya);
    const yb = await scalarMultVfy(nodeCrypto, bytes('yb'), g);
    assert.equal(bytesToHex(yb), vector.Yb);
    const exchange = { ya, adA: bytes('ADa'), yb, adB: bytes('ADb') };
    for (const k of [
      await scalarMultVfy(nodeCrypto, bytes('ya'), yb),
      await scalarMultVfy(nodeCrypto, bytes('yb'), ya),
    ]) {
      assert.equal(bytesToHex(k), vector.K);
      const isk = await sessionKey(nodeCrypto, sid, k, exchange);
      assert.equal(bytesToHex(isk), vector.iskInitiatorResponder);
    }
  });
}

test('there are two sets and twelve special points, seven of which abort', () => {
  const { points } = scalarMultVfyVectors;
  assert.deepEqual(
    cpaceVectors.map((each) => each.name),
    ['A', 'B'],
  );
  assert.equal(points.length, 12);
  assert.equal(points.filter((each) => each.result === null).length, 7);
});

for (const { u, result } of scalarMultVfyVectors.points) {
  const verdict = result === null ? 'aborts' : 'gives the stated result';
  test(`the special point ${u.slice(0, 8)}…${u.slice(-2)} ${verdict}`, async () => {
    const multiplied = scalarMultVfy(nodeCrypto, hexToBytes(scalarMultVfyVectors.scalar), hexToBytes(u));
    if (result === null) await assert.rejects(multiplied, (error) => hasCode(error, 'MESSAGE_INVALID'));
    else assert.equal(bytesToHex(await multiplied), result);
  });
}

test('a point that is not 32 bytes aborts', async () => {
  for (const length of [0, 31, 33]) {
    const multiplied = scalarMultVfy(nodeCrypto, new Uint8Array(32).fill(1), new Uint8Array(length).fill(9));
    await assert.rejects(multiplied, (error) => hasCode(error, 'MESSAGE_INVALID'));
  }
});

test('both sides compute the same K with the same code, and a different K with any difference', async () => {
  const input = {
    prs: new TextEncoder().encode('123456'),
    ci: new Uint8Array([1, 2, 3]),
    sid: new Uint8Array(16).fill(5),
  };
  const meet = async (other: typeof input) => {
    const a = await makeShare(nodeCrypto, input);
    const b = await makeShare(nodeCrypto, other);
    const atA = await scalarMultVfy(nodeCrypto, a.scalar, b.share);
    const atB = await scalarMultVfy(nodeCrypto, b.scalar, a.share);
    return bytesToHex(atA) === bytesToHex(atB);
  };
  assert.equal(await meet(input), true);
  assert.equal(await meet({ ...input, prs: new TextEncoder().encode('123457') }), false);
  assert.equal(await meet({ ...input, ci: new Uint8Array([1, 2, 4]) }), false);
  assert.equal(await meet({ ...input, sid: new Uint8Array(16).fill(6) }), false);
});

test('each share is new', async () => {
  const input = { prs: new Uint8Array(6), ci: new Uint8Array(), sid: new Uint8Array(16) };
  const one = await makeShare(nodeCrypto, input);
  const two = await makeShare(nodeCrypto, input);
  assert.notDeepEqual(one.share, two.share);
});

test('a code of any length gives a generator, because the padding is never negative', async () => {
  const generators = new Set<string>();
  for (const length of [0, 6, 32, 100, 117, 118, 119, 127, 128, 200]) {
    const input = { prs: new Uint8Array(length), ci: new Uint8Array(), sid: new Uint8Array(16) };
    generators.add(bytesToHex(await calculateGenerator(nodeCrypto, input)));
  }
  assert.equal(generators.size, 10);
});
