// A clock that was wrong for a while and is right again. Objects created in the meantime do no harm.

import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { IdentityManager, IdentityManagerOptions } from '@palyra/identity';
import { readPeerCertificate } from '@palyra/identity/certificate';
import { awaitPairing, recoverCertificate, requestPairing } from '@palyra/identity/device';
import { parsePairingCode } from '@palyra/identity/pairing';
import { afterRefusal } from '../../packages/identity/src/renewal/after-refusal.ts';
import { expectCode } from '../testing/expect-code.ts';
import { day, HeldClock, minute } from '../testing/held-clock.ts';
import { openIdentity, peerOf, recoveryPeerOf } from '../testing/in-process.ts';
import { makeDevice } from '../testing/sample-device.ts';
import { longestWaitMs } from '../testing/until.ts';

async function ahead(t: TestContext, options: Partial<IdentityManagerOptions> = {}) {
  const clock = new HeldClock();
  const identity = await openIdentity(t, { clock, ...options });
  clock.advance(20 * day);
  return { clock, identity, right: () => clock.advance(-20 * day) };
}

const mint = (identity: IdentityManager) => identity.desk.mint({ kind: 'typed', address: 'x:1' });

/** Up to the operator's decision. */
async function request(identity: IdentityManager, clock: HeldClock) {
  const device = await makeDevice({ clock });
  const { code } = await mint(identity);
  const pending = await requestPairing(device, peerOf(identity), parsePairingCode(code), 'x:1');
  const signal = AbortSignal.timeout(longestWaitMs);
  return {
    device,
    id: pending.requestId,
    collect: () => awaitPairing(device, peerOf(identity), pending, { signal }),
  };
}

test('codes made while the clock was ahead make room once it is right', async (t) => {
  const { identity, right } = await ahead(t, { limits: { liveCodes: 2 } });
  const codes = [await mint(identity), await mint(identity)];
  await expectCode(mint(identity), 'TOO_MANY_CODES');
  right();
  const fresh = await mint(identity);
  for (const { pairing } of codes)
    assert.equal((await identity.registry.pairing(pairing.id))?.state, 'expired');
  await identity.tick();
  assert.deepEqual(
    (await identity.desk.open(10)).map(({ id }) => id),
    [fresh.pairing.id],
  );
});

test('a restore ends codes and requests made while the clock was ahead', async (t) => {
  const { clock, identity, right } = await ahead(t);
  await mint(identity);
  await request(identity, clock);
  right();
  assert.equal(await identity.desk.endForRestore(), 0, 'they have already expired');
  assert.deepEqual(await identity.desk.open(10), []);
});

test('a request made while the clock was ahead does not live longer, whatever its state', async (t) => {
  const { clock, identity, right } = await ahead(t);
  const asked = await request(identity, clock);
  const approved = await request(identity, clock);
  await identity.desk.approve(approved.id);
  const issued = await request(identity, clock);
  await identity.desk.approve(issued.id);
  await issued.collect();
  right();
  await expectCode(identity.desk.approve(asked.id), 'PAIRING_EXPIRED');
  await expectCode(approved.collect(), 'PAIRING_EXPIRED');
  await identity.tick();
  for (const { id } of [asked, approved, issued])
    assert.equal((await identity.registry.pairing(id))?.state, 'expired');
});

test('a device with a certificate from the future recovers by its identity key, and is not reported as a copy', async (t) => {
  const { clock, identity, right } = await ahead(t, { cloning: 'quarantine' });
  const asked = await request(identity, clock);
  await identity.desk.approve(asked.id);
  const enrollment = await asked.collect();
  const known = (one: typeof enrollment) => readPeerCertificate(one.certificateChain[0]!).fingerprint;
  await identity.admit(known(enrollment));
  right();
  const { code } = await expectCode(identity.admit(known(enrollment)), 'CERTIFICATE_NOT_YET_VALID');
  assert.equal(afterRefusal(code), 'recover');
  const recovered = await recoverCertificate(asked.device, enrollment, recoveryPeerOf(identity));
  const { deviceId } = await identity.admit(known(recovered));
  const device = await identity.registry.device(deviceId);
  assert.ok(device?.state === 'active' && device.cloneSeenAt === undefined);
});

test('a clock correction within the tolerance ends nothing', async (t) => {
  const { clock, identity } = await ahead(t);
  const { pairing } = await mint(identity);
  clock.advance(-10 * minute);
  await identity.tick();
  assert.equal((await identity.registry.pairing(pairing.id))?.state, 'waiting');
  clock.advance(-1);
  await identity.tick();
  assert.equal((await identity.registry.pairing(pairing.id))?.state, 'expired');
});
