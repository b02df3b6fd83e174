import assert from 'node:assert/strict';
import { before, describe, it, type TestContext } from 'node:test';
import { hasCode } from '../errors.ts';
import { ChainJudge, MAX_CHAIN_BYTES, MAX_CHAIN_CERTIFICATES } from './chain-verdict.ts';
import { bitString, sequence } from './der.ts';
import { certificatesToPem } from './pem.ts';
import { describeIssuer, rootProfile, signatureAlgorithm } from './profile.ts';
import { run, writeFiles } from './testing/command.ts';
import { ChainMaker, differences, flipBit, type Life } from './testing/mutated-chain.ts';
import { daemonId, deviceId, SampleAuthority, trustDomain } from './testing/sample-authority.ts';
import { spkiPrefix } from './tls-key.ts';

const hour = 3_600_000;
const now = Date.now();
const day = (from: number, to: number): Life => ({
  notBefore: new Date(Math.floor(now / 1000) * 1000 + from * 24 * hour),
  notAfter: new Date(Math.floor(now / 1000) * 1000 + to * 24 * hour),
});
const lives = { valid: day(-1, 1), expired: day(-3, -2), 'not valid yet': day(2, 3) } as const;
const lifeNames = Object.keys(lives) as (keyof typeof lives)[];
const datesOfChains = [
  ['valid', 'valid'],
  ['expired', 'valid'],
  ['valid', 'expired'],
  ['expired', 'not valid yet'],
] as const;
const invalid = (error: unknown) => hasCode(error, 'CERTIFICATE_INVALID');

let sample: SampleAuthority;
let foreign: SampleAuthority;
let judge: ChainJudge;
before(async () => {
  sample = await SampleAuthority.create(new Date(now));
  foreign = await SampleAuthority.create(new Date(now));
  judge = new ChainJudge([sample.root.der], [sample.issuing.der]);
});

type Chain = readonly Uint8Array[];
const isTaken = (chain: Chain): boolean => {
  try {
    judge.judge(chain);
    return true;
  } catch (error) {
    assert.ok(invalid(error), String(error));
    return false;
  }
};

/** The verdict of OpenSSL's command. */
async function openssl(t: TestContext, [leaf, ...rest]: Chain, options: readonly string[]): Promise<string> {
  const files = writeFiles(t, {
    root: certificatesToPem([sample.root.der]),
    leaf: certificatesToPem([leaf!]),
    untrusted: certificatesToPem(rest),
  });
  const { code, output } = await run('openssl', [
    ...['verify', '-CAfile', files.root, '-untrusted', files.untrusted, ...options, files.leaf],
  ]);
  return code === 0 ? 'OK' : (/error (\d+)/.exec(output)?.[1] ?? output);
}

describe('a chain of ours is accepted', () => {
  it('and names a device or daemon, with the period in which the whole chain is valid', async () => {
    const device = await sample.device();
    const { certificate, ...judgedDevice } = judge.judge([device.der, sample.issuing.der]);
    assert.ok(certificate.raw.equals(device.der));
    assert.deepEqual(judgedDevice, {
      leaf: { ...summaryOf(device), spiffeId: { kind: 'device', trustDomain, id: deviceId } },
      notBefore: device.notBefore,
      notAfter: device.notAfter,
    });
    const names = Array.from({ length: 28 }, (_, at) => `host-${at}.example`);
    const daemon = await sample.daemon(names, ['127.0.0.1', '::1', '2001:db8::ff00:42:8329', '192.0.2.1']);
    const judged = judge.judge([daemon.der, sample.issuing.der, sample.root.der]);
    assert.deepEqual(judged.leaf.spiffeId, { kind: 'daemon', trustDomain, id: daemonId });
    assert.deepEqual(judge.judgeLeaf(daemon.der), judged.leaf);
  });

  it('whatever its dates, which are returned separately', async () => {
    for (const kind of ['device', 'daemon'] as const) {
      const maker = await ChainMaker.create(sample, kind);
      for (const leafLife of lifeNames)
        for (const issuingLife of lifeNames) {
          const chain = await maker.make({
            leaf: { life: lives[leafLife] },
            issuing: { life: lives[issuingLife] },
          });
          const { notBefore, notAfter } = judge.judge(chain);
          const isValid = now >= notBefore.getTime() && now < notAfter.getTime();
          assert.equal(
            isValid,
            leafLife === 'valid' && issuingLife === 'valid',
            `${leafLife}, ${issuingLife}`,
          );
        }
    }
  });

  it('even from a foreign encoder that writes the same bytes. The mutations below start from this chain', async () => {
    const maker = await ChainMaker.create(sample, 'device');
    const [leaf, issuing] = await maker.make({});
    assert.notDeepEqual(leaf, (await sample.device()).der);
    assert.ok(isTaken([leaf, issuing]));
  });
});

describe('a chain is refused, whatever its dates,', () => {
  it('when it differs from our chains in one detail, and OpenSSL agrees wherever it refuses for a reason other than dates', async (t) => {
    let refusedByOpenssl = 0;
    for (const kind of ['device', 'daemon'] as const) {
      const maker = await ChainMaker.create(sample, kind);
      for (const [what, { leaf, issuing }] of await differences()) {
        for (const [leafLife, issuingLife] of kind === 'device' ? datesOfChains : datesOfChains.slice(1, 2)) {
          const chain = await maker.make({
            leaf: { ...leaf, life: lives[leafLife] },
            issuing: { ...issuing, life: lives[issuingLife] },
          });
          assert.equal(isTaken(chain), false, `${kind}: ${what}, ${leafLife}, ${issuingLife}`);
        }
        if (kind === 'daemon') continue;
        const chain = await maker.make({
          leaf: { ...leaf, life: lives.expired },
          ...(issuing && { issuing }),
        });
        const verdict = await openssl(t, chain, ['-no_check_time', '-purpose', 'sslclient']);
        if (verdict !== 'OK') refusedByOpenssl += 1;
      }
    }
    // OpenSSL accepts the others, but they are not ours: an unknown extension, SHA-384, another order.
    assert.ok(refusedByOpenssl > 25, String(refusedByOpenssl));
  });

  it('when one bit is changed: 4,000 variants, of which OpenSSL refuses a sample too', async (t) => {
    const maker = await ChainMaker.create(sample, 'device');
    for (const [leafLife, issuingLife] of datesOfChains) {
      const [leaf, issuing] = await maker.make({
        leaf: { life: lives[leafLife] },
        issuing: { life: lives[issuingLife] },
      });
      for (let round = 0; round < 500; round += 1) {
        const flippedLeaf = flipBit(leaf);
        const flippedIssuing = flipBit(issuing);
        assert.equal(isTaken([flippedLeaf, issuing]), false);
        assert.throws(() => judge.judgeLeaf(flippedLeaf), invalid);
        assert.equal(isTaken([leaf, flippedIssuing]), false);
        if (round >= 6) continue;
        for (const chain of [
          [flippedLeaf, issuing],
          [leaf, flippedIssuing],
        ])
          assert.notEqual(await openssl(t, chain, ['-no_check_time']), 'OK');
      }
    }
  });

  it('when another authority signed it, even with our names or with our certificates added', async () => {
    const device = await foreign.device();
    const ours = (await sample.device()).der;
    for (const chain of [
      [device.der, foreign.issuing.der],
      [device.der, sample.issuing.der],
      [device.der, foreign.issuing.der, sample.root.der],
      [ours, foreign.issuing.der],
      [ours, sample.issuing.der, foreign.root.der],
      [device.der, sample.issuing.der, sample.root.der],
    ])
      assert.equal(isTaken(chain), false);
    assert.throws(() => judge.judgeLeaf(device.der), invalid);
    assert.throws(() => new ChainJudge([sample.root.der]).judgeLeaf(ours), invalid);
    assert.throws(() => new ChainJudge([sample.root.der], [foreign.issuing.der]), invalid);
  });

  it('when it is not a leaf followed by its issuing CA', async () => {
    const leaf = (await sample.device()).der;
    const [issuing, root] = [sample.issuing.der, sample.root.der];
    for (const chain of [
      [],
      [leaf],
      [leaf, root],
      [issuing, leaf],
      [issuing, root],
      [root, root],
      [leaf, leaf],
      [leaf, leaf, issuing],
      [leaf, issuing, issuing],
      [leaf, issuing, root, root],
      [leaf, new Uint8Array()],
      [new Uint8Array(), issuing],
    ])
      assert.equal(isTaken(chain), false);
  });

  it('when it is too long or too large, before any of it is read', async () => {
    const unread = Object.defineProperty(new Uint8Array(1), 'buffer', {
      get: () => assert.fail('a certificate was read'),
    });
    const tooMany = Array.from({ length: MAX_CHAIN_CERTIFICATES + 1 }, () => unread);
    assert.throws(() => judge.judge(tooMany), invalid);
    assert.throws(() => judge.judge([new Uint8Array(MAX_CHAIN_BYTES), unread]), invalid);
    assert.throws(() => judge.judgeLeaf(new Uint8Array(MAX_CHAIN_BYTES + 1)), invalid);
  });
});

describe('a root', () => {
  it('that this project did not create is not a root', async () => {
    const device = await sample.device();
    for (const der of [sample.issuing.der, device.der, flipBit(sample.root.der), new Uint8Array(8)])
      assert.throws(() => new ChainJudge([sample.root.der, der]), invalid);
  });

  it('whose key is not a point on the curve is not a root', () => {
    const publicKey = Buffer.concat([spkiPrefix, Buffer.alloc(64, 1)]);
    const self = describeIssuer('root', trustDomain, publicKey);
    const facts = { serial: Buffer.alloc(16, 1), ...lives.valid };
    const signature = Buffer.from('3006020101020101', 'hex');
    const tbs = rootProfile(self, { ...facts, publicKey });
    assert.throws(() => new ChainJudge([sequence(tbs, signatureAlgorithm, bitString(signature))]), invalid);
  });

  it('may be one of several, and a chain leads to exactly one', async () => {
    const both = new ChainJudge([foreign.root.der, sample.root.der]);
    for (const each of [sample, foreign])
      assert.equal(both.judge([(await each.device()).der, each.issuing.der]).leaf.spiffeId.id, deviceId);
    assert.throws(() => both.judge([sample.root.der, foreign.issuing.der]), invalid);
    const [leaf] = [(await sample.device()).der];
    assert.throws(() => both.judge([leaf, sample.issuing.der, foreign.root.der]), invalid);
  });
});

function summaryOf({ der: _, keySha256: __, ...summary }: Awaited<ReturnType<SampleAuthority['device']>>) {
  return summary;
}
