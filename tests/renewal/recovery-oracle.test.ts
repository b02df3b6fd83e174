// A peer that may not recover learns nothing about known ids: it gets the same answer after the same work, whatever is wrong.

import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { TlsKey } from '@palyra/identity/certificate';
import { awaitPairing, requestPairing } from '@palyra/identity/device';
import { parsePairingCode } from '@palyra/identity/pairing';
import type { Registry } from '@palyra/identity/registry';
import { type DeviceId, makeUlid, nodeCrypto, type PairingCrypto } from '@palyra/identity/values';
import { openSqliteRegistry } from '@palyra/registry-sql';
import { recoveryInput } from '../../packages/identity/src/renewal/proof.ts';
import { openIdentity, peerOf } from '../testing/in-process.ts';
import { makeDevice } from '../testing/sample-device.ts';
import { longestWaitMs } from '../testing/until.ts';

/** Records each call of the daemon to its registry and to public-key cryptography. */
async function observed(t: TestContext) {
  const work: string[] = [];
  const inner = await openSqliteRegistry({ path: ':memory:' });
  t.after(() => inner.close());
  const registry: Registry = new Proxy(inner, {
    get(target, name) {
      const member = Reflect.get(target, name);
      if (typeof member !== 'function') return member;
      return (...values: unknown[]) => {
        work.push(String(name));
        return member.apply(target, values);
      };
    },
  });
  const noted =
    <A extends unknown[], R>(name: string, call: (...values: A) => R) =>
    (...values: A): R => {
      work.push(name);
      return call(...values);
    };
  const crypto: PairingCrypto = {
    ...nodeCrypto,
    verifyEd25519: noted('verifyEd25519', nodeCrypto.verifyEd25519),
    verifyP256: noted('verifyP256', nodeCrypto.verifyP256),
  };
  return { work, identity: await openIdentity(t, { registry, crypto }) };
}

test('Recover gives equal answers for known and unknown ids, after the same work', async (t) => {
  const { work, identity } = await observed(t);
  const device = await makeDevice();
  const { code } = await identity.desk.mint({ kind: 'typed', address: 'localhost:7443' });
  const pending = await requestPairing(device, peerOf(identity), parsePairingCode(code), 'localhost:7443');
  await identity.desk.approve(pending.requestId);
  await awaitPairing(device, peerOf(identity), pending, { signal: AbortSignal.timeout(longestWaitMs) });
  const unknown = makeUlid(new Date(), nodeCrypto.randomBytes(10));
  const good = TlsKey.generate();

  type Request = Parameters<typeof identity.renewals.recover>[1];
  const defects: Record<string, (request: Request) => Partial<Request>> = {
    'signatures of another key': () => ({}),
    'no identity signature': () => ({ identitySignature: new Uint8Array() }),
    'an identity signature of 63 bytes': () => ({ identitySignature: new Uint8Array(63) }),
    'an identity signature of zeros': () => ({ identitySignature: new Uint8Array(64) }),
    'no proof of the TLS key': () => ({ tlsKeyProof: new Uint8Array() }),
    'no TLS key': () => ({ tlsKey: new Uint8Array() }),
    'a TLS key of 90 bytes': ({ tlsKey }) => ({ tlsKey: tlsKey.slice(1) }),
    'a TLS key off the curve': ({ tlsKey }) => ({
      tlsKey: tlsKey.map((byte, at) => (at === 90 ? byte ^ 1 : byte)),
    }),
    'another challenge': () => ({ challenge: new Uint8Array(32) }),
    'no challenge': () => ({ challenge: new Uint8Array() }),
    'a long challenge': ({ challenge }) => ({ challenge: new Uint8Array([...challenge, 0]) }),
  };
  for (const [defect, change] of Object.entries(defects)) {
    const asked = async (deviceId: DeviceId) => {
      const channel = { channelBinding: nodeCrypto.randomBytes(32), source: '127.0.0.1' };
      const challenge = identity.renewals.challenge(channel);
      const signed = recoveryInput(channel.channelBinding, challenge, deviceId, good.publicKey);
      const stranger = (await makeDevice()).identity;
      const request = {
        challenge,
        deviceId,
        tlsKey: good.publicKey,
        tlsKeyProof: good.sign(signed),
        identitySignature: await stranger.sign(signed),
      };
      work.length = 0;
      const error = await identity.renewals.recover(channel, { ...request, ...change(request) }).then(
        () => assert.fail('it succeeded'),
        ({ code, message, retryAfterMs }) => ({ code, message, retryAfterMs }),
      );
      return { error, work: [...work] };
    };
    const [known, other] = [await asked(device.identity.id), await asked(unknown)];
    assert.deepEqual(other, known, defect);
    assert.ok(
      ['DEVICE_NOT_FOUND', 'MESSAGE_INVALID', 'SESSION_NOT_FOUND'].includes(known.error.code),
      defect,
    );
  }
});
