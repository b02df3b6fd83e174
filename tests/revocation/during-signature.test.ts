// A signature takes time, especially on a token. A certificate that is signed during a refusal does not undo the refusal,
// and no pending write restores an older state of the device.

import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { type IdentityErrorCode, type IdentityManager, MemorySecretStore } from '@palyra/identity';
import {
  awaitPairing,
  type PairedEnrollment,
  readPeerCertificate,
  recoverCertificate,
  renewCertificate,
  requestPairing,
} from '@palyra/identity/device';
import { parsePairingCode } from '@palyra/identity/pairing';
import { expectCode } from '../testing/expect-code.ts';
import { HeldClock, minute } from '../testing/held-clock.ts';
import { HeldKeys } from '../testing/held-keys.ts';
import { openIdentity, peerOf, recoveryPeerOf } from '../testing/in-process.ts';
import { makeDevice, type SampleDevice, sameIdOtherKey } from '../testing/sample-device.ts';
import { longestWaitMs } from '../testing/until.ts';

const certificateOf = ({ certificateChain }: PairedEnrollment) => readPeerCertificate(certificateChain[0]!);

async function requested(identity: IdentityManager, device: SampleDevice) {
  const { code } = await identity.desk.mint({ kind: 'typed', address: 'x:1' });
  return requestPairing(device, peerOf(identity), parsePairingCode(code), 'x:1');
}

/** A paired device, and a daemon whose signatures can be delayed. */
async function start(t: TestContext) {
  const clock = new HeldClock();
  const secrets = new MemorySecretStore();
  const keys = new HeldKeys(secrets);
  const identity = await openIdentity(t, { clock, secrets, authorityKeys: keys });
  const device = await makeDevice({ clock });
  const pending = await requested(identity, device);
  await identity.desk.approve(pending.requestId);
  const signal = AbortSignal.timeout(longestWaitMs);
  const enrollment = await awaitPairing(device, peerOf(identity), pending, { signal });
  const caller = await identity.admit(certificateOf(enrollment).fingerprint);
  return { clock, keys, identity, device, enrollment, caller };
}
type Started = Awaited<ReturnType<typeof start>>;

/** Another identity key takes over the id, with the operator's approval. */
async function replaceKey({ identity, device }: Started): Promise<void> {
  const thief = { ...device, identity: await sameIdOtherKey(device.identity) };
  const pending = await requested(identity, thief);
  await identity.desk.approve(pending.requestId, { replaceIdentityKey: true });
}

/** The operator's actions during the signature, and the codes for a renewal and a recovery. */
const refusals: Readonly<
  Record<string, [(started: Started) => Promise<unknown>, IdentityErrorCode, IdentityErrorCode]>
> = {
  'the device is revoked': [
    ({ identity, caller }) => identity.revokeDevice(caller.deviceId, 'stolen'),
    'DEVICE_REVOKED',
    'DEVICE_REVOKED',
  ],
  'the certificate is revoked': [
    ({ identity, caller }) => identity.revokeCertificate(caller.serial, 'leaked'),
    'CERTIFICATE_REVOKED',
    'RECOVERY_NEEDS_APPROVAL',
  ],
  'another identity key is approved': [replaceKey, 'DEVICE_NOT_FOUND', 'DEVICE_NOT_FOUND'],
};

for (const [what, [refuse, renewal, recovery]] of Object.entries(refusals)) {
  for (const kind of ['renewal', 'recovery'] as const) {
    test(`${what} while its ${kind} is signed: no certificate is issued`, async (t) => {
      const started = await start(t);
      const { identity, keys, device, enrollment, caller } = started;
      const before = await identity.registry.certificatesOf(caller.deviceId, 10);
      const signing = keys.hold();
      const result =
        kind === 'renewal'
          ? renewCertificate(device, enrollment, (proof) => identity.renewals.renew(caller, proof))
          : recoverCertificate(device, enrollment, recoveryPeerOf(identity));
      const refused = expectCode(result, kind === 'renewal' ? renewal : recovery);
      await signing;
      await refuse(started);
      keys.letGo();
      await refused;
      const after = await identity.registry.certificatesOf(caller.deviceId, 10);
      assert.deepEqual(
        after.map(({ serial, state }) => ({ serial, state })),
        before.map(({ serial }) => ({ serial, state: 'revoked' })),
      );
    });
  }
}

test('recording a connection while its device is revoked does not undo the revocation', async (t) => {
  const { clock, identity, enrollment, caller } = await start(t);
  // Long enough for "last seen" to be stored again.
  clock.advance(30 * minute);
  const [seen, revoked] = await Promise.allSettled([
    identity.admit(certificateOf(enrollment).fingerprint),
    identity.revokeDevice(caller.deviceId, 'stolen'),
  ]);
  assert.equal(revoked.status, 'fulfilled');
  assert.ok(seen.status === 'fulfilled' || seen.reason.code === 'DEVICE_REVOKED');
  assert.equal((await identity.registry.device(caller.deviceId))?.state, 'revoked');
  await expectCode(identity.admit(certificateOf(enrollment).fingerprint), 'DEVICE_REVOKED');
});
