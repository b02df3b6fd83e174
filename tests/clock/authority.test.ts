// A clock that jumps, or was wrong at a start. While the daemon runs, no CA is made by such a clock, and a CA from a start
// does no harm once the clock is right.

import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { type IdentityError, IdentityManager, MemorySecretStore, verifyAudit } from '@palyra/identity';
import { readAuthorityCertificate } from '@palyra/identity/certificate';
import { steadyAfterMs } from '@palyra/identity/values';
import { openSqliteRegistry } from '@palyra/registry-sql';
import { expectCode } from '../testing/expect-code.ts';
import { day, HeldClock, hour, minute, second } from '../testing/held-clock.ts';

const names = { dnsNames: [], ipAddresses: [] };

/** A daemon's identity that can be restarted. Each start knows nothing about the earlier clock. */
async function home(t: TestContext) {
  const clock = new HeldClock();
  const secrets = new MemorySecretStore();
  const registry = await openSqliteRegistry({ path: ':memory:' });
  const start = () => IdentityManager.open({ secrets, registry, clock });
  const issuing = async () => (await registry.authorities()).filter(({ tier }) => tier === 'issuing');
  const active = async () => (await issuing()).find(({ state }) => state === 'active')?.id;
  t.after(async () => {
    const verdict = await verifyAudit(registry);
    await registry.close();
    assert.ok(verdict.ok, JSON.stringify(verdict));
  });
  return { clock, start, issuing, active };
}

/** Checks that it issues certificates that are valid now. */
async function issues(identity: IdentityManager, clock: HeldClock): Promise<void> {
  const { notBefore, notAfter, certificateChain } = await identity.issueServerCredential(names);
  const issuer = readAuthorityCertificate(certificateChain[1]!);
  for (const each of [{ notBefore, notAfter }, issuer])
    assert.ok(each.notBefore <= clock.now() && each.notAfter > clock.now());
}

test('a clock that is two months ahead for a moment leaves no CA behind', async (t) => {
  const { clock, start, issuing } = await home(t);
  const identity = await start();
  const before = await issuing();
  for (const jumpMs of [61 * day, 400 * day, -61 * day]) {
    clock.advance(15 * second);
    clock.jump(jumpMs);
    await identity.tick();
    clock.advance(15 * second);
    await identity.tick();
    clock.jump(-jumpMs);
    await identity.tick();
    assert.deepEqual(await issuing(), before);
    await issues(identity, clock);
  }
  await issues(await start(), clock);
});

test('a clock that has jumped is trusted after it has run steadily for a while', async (t) => {
  for (const jumpMs of [61 * day, 100 * day]) {
    const { clock, start, issuing, active } = await home(t);
    const identity = await start();
    const before = await active();
    clock.advance(hour);
    clock.jump(jumpMs);
    await identity.tick();
    clock.advance(steadyAfterMs - second);
    await identity.tick();
    assert.equal((await issuing()).length, 1);
    const issued = identity.issueServerCredential(names).then(
      () => 'issued',
      ({ code }: IdentityError) => code,
    );
    assert.equal(await issued, jumpMs < 90 * day ? 'issued' : 'CERTIFICATE_EXPIRED');
    clock.advance(second);
    await identity.tick();
    assert.equal((await issuing()).length, 2);
    assert.notEqual(await active(), before);
    await issues(identity, clock);
  }
});

test('a daemon that was off for months works at once, and renews its CA by itself', async (t) => {
  for (const [offMs, made] of [
    [61 * day, 1],
    [89.999 * day, 2],
    [100 * day, 2],
    [3 * 365 * day, 2],
  ] as const) {
    const { clock, start, issuing } = await home(t);
    await start();
    clock.advance(offMs);
    const identity = await start();
    assert.equal((await issuing()).length, made, `after ${offMs / day} days`);
    await issues(identity, clock);
    clock.advance(steadyAfterMs);
    await identity.tick();
    assert.equal((await issuing()).length, 2);
    await issues(identity, clock);
  }
});

test('a CA from a start with the clock years ahead disturbs nothing once the clock is right', async (t) => {
  const { clock, start, issuing, active } = await home(t);
  await start();
  const right = await active();
  clock.jump(5 * 365 * day);
  const ahead = await start();
  const wrong = await active();
  assert.notEqual(wrong, right);
  await issues(ahead, clock);

  clock.jump(-5 * 365 * day);
  await ahead.tick();
  assert.equal(await active(), right, 'while it runs');
  await issues(ahead, clock);
  const identity = await start();
  assert.equal(await active(), right, 'at a start');
  await issues(identity, clock);

  // It is used for its whole life, and then replaced.
  clock.advance(61 * day);
  await identity.tick();
  const authorities = await issuing();
  assert.equal(authorities.length, 3);
  assert.ok(![wrong, right].includes((await active())!));
  await issues(identity, clock);
});

test('when the only CA is from the future, the daemon makes a current one', async (t) => {
  const { clock, start, active } = await home(t);
  await start();
  clock.advance(100 * day);
  clock.jump(5 * 365 * day);
  const ahead = await start();
  clock.jump(-5 * 365 * day);
  await ahead.tick();
  await expectCode(ahead.issueServerCredential(names), 'CERTIFICATE_NOT_YET_VALID');
  const wrong = await active();
  await issues(await start(), clock);
  assert.notEqual(await active(), wrong);
  await ahead.tick();
  await issues(ahead, clock);
});

test('a first start with the clock a year behind recovers once the clock is right', async (t) => {
  for (const isRestarted of [false, true]) {
    const { clock, start } = await home(t);
    clock.jump(-365 * day);
    const behind = await start();
    await issues(behind, clock);
    clock.jump(365 * day);
    await behind.tick();
    if (!isRestarted) {
      await expectCode(behind.issueServerCredential(names), 'CERTIFICATE_EXPIRED');
      clock.advance(steadyAfterMs);
    }
    const identity = isRestarted ? await start() : behind;
    await identity.tick();
    await issues(identity, clock);
    assert.equal(identity.rootFingerprint, behind.rootFingerprint);
  }
});

test('a clock that is set again and again blocks the renewal of the CA, and a warning comes in time', async (t) => {
  const { clock, start, issuing } = await home(t);
  const identity = await start();
  assert.equal(identity.issuerProblem(), undefined);
  for (let at = 0; at < 71; at += 1) {
    clock.advance(day);
    clock.jump((at % 2 ? 1 : -1) * 11 * minute);
    await identity.tick();
  }
  assert.equal(identity.issuerProblem(), undefined, 'a CA may be due for a while');
  clock.advance(5 * day);
  clock.jump(11 * minute);
  await identity.tick();
  assert.equal((await issuing()).length, 1);
  assert.match(identity.issuerProblem()!.message, /keeps setting the clock.*restart/s);
  assert.equal(identity.issuerProblem()!.code, 'CLOCK_WRONG');
  clock.advance(steadyAfterMs);
  await identity.tick();
  assert.equal((await issuing()).length, 2);
  assert.equal(identity.issuerProblem(), undefined);
});

test('a clock that drifts or is slewed does not count as jumping', async (t) => {
  const { clock, start, issuing } = await home(t);
  const identity = await start();
  clock.advance(59 * day);
  await identity.tick();
  clock.jump(5 * minute);
  clock.advance(day);
  await identity.tick();
  assert.equal((await issuing()).length, 2);
});
