// Authorities that a wrong clock created are set aside, at exactly the announced cost.

import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { IdentityManager, MemorySecretStore, verifyAudit } from '@palyra/identity';
import { SecretStoreKeys } from '@palyra/identity/keys';
import { type AuthorityRecord, type SetAsideCost, setAsideMisdated } from '@palyra/identity/registry';
import { openSqliteRegistry } from '@palyra/registry-sql';
import { retireRootsAgain } from '../../packages/identity/src/authority/root-rotation.ts';
import { expectCode } from '../testing/expect-code.ts';
import { day, HeldClock } from '../testing/held-clock.ts';

const year = 365 * day;
const names = { dnsNames: [], ipAddresses: [] };

/** @param startedMs how far the clock was off at the first start. */
async function home(t: TestContext, startedMs: number) {
  const clock = new HeldClock();
  const secrets = new MemorySecretStore();
  const registry = await openSqliteRegistry({ path: ':memory:' });
  const parts = { secrets, registry, clock };
  const start = () => IdentityManager.open(parts);
  const costs: SetAsideCost[] = [];
  const setAside = (agree = true, meanwhile = () => {}) =>
    setAsideMisdated({
      ...parts,
      authorityKeys: new SecretStoreKeys(secrets),
      agree: async (cost) => {
        costs.push(cost);
        meanwhile();
        if (!agree) throw new Error('no');
      },
    });
  const states = async () =>
    (await registry.authorities()).map(({ tier, state }) => `${tier} ${state}`).sort();
  t.after(async () => {
    const verdict = await verifyAudit(registry);
    await registry.close();
    assert.ok(verdict.ok, JSON.stringify(verdict));
  });
  clock.jump(startedMs);
  const first = await start();
  clock.jump(-startedMs);
  return { clock, registry, start, setAside, costs, states, first };
}

async function works(identity: IdentityManager, clock: HeldClock): Promise<void> {
  const { notBefore, notAfter } = await identity.issueServerCredential(names);
  assert.ok(notBefore <= clock.now() && notAfter > clock.now());
}

test('setting aside a root from the future asks first, and then devices must pair again', async (t) => {
  const { clock, start, setAside, costs, states, first } = await home(t, 5 * year);
  const error = await expectCode(start(), 'CERTIFICATE_NOT_YET_VALID');
  assert.match(error.message, /set the clock/);
  assert.equal(error.fields.about, 'root');
  await assert.rejects(setAside(false), /no/);
  assert.deepEqual(await states(), ['issuing active', 'root active']);
  await setAside();
  assert.equal(costs.at(-1)?.root, 'new');
  const identity = await start();
  assert.deepEqual(await states(), ['issuing active', 'issuing retired', 'root active', 'root retired']);
  assert.equal(identity.daemonId, first.daemonId);
  assert.equal(identity.trustDomain, first.trustDomain);
  assert.notEqual(identity.rootFingerprint, first.rootFingerprint);
  await works(identity, clock);
  assert.equal(await setAside(), undefined);
  assert.equal(costs.length, 2, 'no question');
});

test('an expired root is set aside in the same way', async (t) => {
  const { clock, start, setAside } = await home(t, 0);
  clock.advance(11 * year);
  const error = await expectCode(start(), 'CERTIFICATE_EXPIRED');
  assert.equal(error.fields.about, 'root');
  assert.equal((await setAside())?.root, 'new');
  await works(await start(), clock);
});

test('an issuing CA from the future is set aside without its root', async (t) => {
  const { clock, registry, start, setAside, states, first } = await home(t, 0);
  clock.jump(5 * year);
  await start();
  clock.jump(-5 * year);
  const gone = await setAside();
  assert.equal(gone?.root, 'kept');
  assert.equal(gone?.authorities.length, 1);
  const identity = await start();
  assert.deepEqual(await states(), ['issuing active', 'issuing retired', 'root active']);
  assert.equal(identity.rootFingerprint, first.rootFingerprint);
  const present = await registry.authorities();
  assert.equal(present.find(({ id }) => id === gone.authorities[0]!.id)?.state, 'retired');
  await works(identity, clock);
});

test('an older registry does not bring back a root that was set aside', async (t) => {
  const { clock, registry, start, states } = await home(t, 0);
  clock.jump(5 * year);
  await start();
  clock.jump(-5 * year);
  const since = (await registry.authorities()).map((each): AuthorityRecord => {
    const isAhead = each.tier === 'issuing' && each.notBefore > clock.now();
    return isAhead ? { ...each, state: 'retired' } : each;
  });
  await registry.transact((tx) => retireRootsAgain(tx, since, clock.now()));
  assert.deepEqual(await states(), ['issuing retired', 'issuing trusted', 'root active']);
  await works(await start(), clock);
  assert.deepEqual(await states(), ['issuing active', 'issuing retired', 'root active']);
});

test('in a rotation the other root takes over, or the new root is dropped', async (t) => {
  for (const step of ['prepare', 'activate'] as const) {
    const { clock, start, setAside, first } = await home(t, 0);
    clock.jump(5 * year);
    const ahead = await start();
    await ahead.rootRotation.prepare();
    if (step === 'activate') await ahead.rootRotation.activate(true);
    await ahead.reloadAuthority();
    clock.jump(-5 * year);
    assert.equal((await setAside())?.root, step === 'activate' ? 'other' : 'kept');
    const identity = await start();
    assert.equal(identity.rootFingerprint, first.rootFingerprint);
    assert.equal((await identity.rootRotation.status()).phase, 'none');
    await works(identity, clock);
  }
});

test('in a rotation with two wrong roots, both are set aside', async (t) => {
  for (const step of ['prepare', 'activate'] as const) {
    const { clock, start, setAside, first } = await home(t, 5 * year);
    clock.jump(5 * year);
    await first.rootRotation.prepare();
    if (step === 'activate') await first.rootRotation.activate(true);
    clock.jump(-5 * year);
    assert.equal((await setAside())?.root, 'new');
    const identity = await start();
    assert.notEqual(identity.rootFingerprint, first.rootFingerprint);
    assert.equal(identity.trustBundle.length, 1);
    await works(identity, clock);
  }
});

test('a clock that is corrected during the question cancels the question', async (t) => {
  const { clock, start, setAside, states, first } = await home(t, 0);
  clock.jump(-year);
  const error = await expectCode(
    setAside(true, () => clock.jump(year)),
    'CLOCK_WRONG',
  );
  assert.match(error.message, /Nothing was changed/);
  assert.deepEqual(await states(), ['issuing active', 'root active']);
  assert.equal((await start()).rootFingerprint, first.rootFingerprint);
});

test('a person may take an hour to answer', async (t) => {
  const { clock, start, setAside } = await home(t, 5 * year);
  await setAside(true, () => clock.advance(60 * 60_000));
  await works(await start(), clock);
});

test('with an impossible clock, nothing is set aside', async (t) => {
  const { clock, setAside, states } = await home(t, 0);
  clock.jump(-60 * year);
  await expectCode(setAside(), 'CLOCK_WRONG');
  assert.deepEqual(await states(), ['issuing active', 'root active']);
});
