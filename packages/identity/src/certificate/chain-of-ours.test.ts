// The reader without Node accepts and refuses the same chains as the reader for Node.

import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { nodeCrypto } from '../crypto/node.ts';
import { hasCode } from '../errors.ts';
import { judgeChainOfOurs, trustDomainOfRoot } from './chain-of-ours.ts';
import { ChainJudge } from './chain-verdict.ts';
import { ChainMaker, differences, flipBit } from './testing/mutated-chain.ts';
import { daemonId, SampleAuthority, trustDomain } from './testing/sample-authority.ts';

let sample: SampleAuthority;
let foreign: SampleAuthority;
before(async () => {
  const now = new Date();
  [sample, foreign] = [await SampleAuthority.create(now), await SampleAuthority.create(now)];
});

const verify = async (...of: Parameters<typeof nodeCrypto.verifyP256>) => nodeCrypto.verifyP256(...of);
const judge = (chain: readonly Uint8Array[], roots = [sample.root.der]) =>
  judgeChainOfOurs(verify, roots, chain);
const invalid = (error: unknown) => hasCode(error, 'CERTIFICATE_INVALID');

describe('a chain, read without Node,', () => {
  it('gives the same result as with Node', async () => {
    const names = Array.from({ length: 28 }, (_, at) => `host-${at}.example`);
    const daemon = await sample.daemon(names, ['127.0.0.1', '::1', '2001:db8::ff00:42:8329', '192.0.2.1']);
    for (const leaf of [daemon, await sample.device()]) {
      for (const chain of [
        [leaf.der, sample.issuing.der],
        [leaf.der, sample.issuing.der, sample.root.der],
      ]) {
        const expected = new ChainJudge([sample.root.der]).judge(chain);
        const { leaf: named, notBefore, notAfter, trustDomains } = await judge(chain);
        assert.deepEqual(named, expected.leaf.spiffeId);
        assert.deepEqual([notBefore, notAfter], [expected.notBefore, expected.notAfter]);
        assert.deepEqual(trustDomains, [trustDomain]);
      }
    }
    assert.equal((await judge([daemon.der, sample.issuing.der])).leaf.id, daemonId);
    assert.equal(await trustDomainOfRoot(verify, sample.root.der), trustDomain);
  });

  it('is refused when it differs from our chains in one detail', async () => {
    for (const kind of ['device', 'daemon'] as const) {
      const maker = await ChainMaker.create(sample, kind);
      await judge(await maker.make({}));
      for (const [what, mutation] of await differences())
        await assert.rejects(judge(await maker.make(mutation)), invalid, `${kind}: ${what}`);
    }
  });

  it('is refused when one bit is changed', async () => {
    const [leaf, issuing] = [(await sample.device()).der, sample.issuing.der];
    for (let round = 0; round < 400; round += 1) {
      await assert.rejects(judge([flipBit(leaf), issuing]), invalid);
      await assert.rejects(judge([leaf, flipBit(issuing)]), invalid);
      await assert.rejects(judge([leaf, issuing], [flipBit(sample.root.der)]), invalid);
    }
  });

  it('is refused when another authority issued it, or it is truncated or not a chain', async () => {
    const [leaf, issuing, root] = [(await sample.device()).der, sample.issuing.der, sample.root.der];
    const other = (await foreign.device()).der;
    for (const chain of [
      [other, foreign.issuing.der],
      [other, issuing],
      [leaf, foreign.issuing.der],
      [leaf, issuing, foreign.root.der],
      [leaf, issuing, root, root],
      [],
      [leaf],
      [leaf, root],
      [issuing, root],
      [leaf, leaf],
      [leaf, new Uint8Array()],
      [new Uint8Array(70_000), issuing],
    ])
      await assert.rejects(judge(chain), invalid);
    for (let length = 0; length < leaf.length; length += 7)
      await assert.rejects(judge([leaf.subarray(0, length), issuing]), invalid);
    for (const der of [issuing, leaf]) await assert.rejects(trustDomainOfRoot(verify, der), invalid);
  });
});
