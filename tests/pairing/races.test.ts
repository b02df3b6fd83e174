// Calls that overlap in the worst order, enforced by a gate in the daemon's cryptography.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parsePairingCode } from '@palyra/identity/pairing';
import { nodeCrypto, type PairingCrypto } from '@palyra/identity/values';
import { openIdentity, peerOf } from '../testing/in-process.ts';
import { RawHandshake } from '../testing/raw-handshake.ts';
import { makeDevice } from '../testing/sample-device.ts';

/** Cryptography in which one operation waits once, until the test releases it. */
function gated(operation: 'x25519' | 'verifyP256') {
  const reached = Promise.withResolvers<void>();
  const gate = Promise.withResolvers<void>();
  let armed = false;
  const crypto: PairingCrypto = {
    ...nodeCrypto,
    [operation]: async (...args: never[]) => {
      if (armed) {
        armed = false;
        reached.resolve();
        await gate.promise;
      }
      return (nodeCrypto[operation] as (...args: never[]) => unknown)(...args);
    },
  };
  const arm = () => {
    armed = true;
  };
  return { crypto, arm, reached: reached.promise, letGo: () => gate.resolve() };
}

for (const [call, operation] of [
  ['Exchange', 'x25519'],
  ['Confirm', 'verifyP256'],
] as const) {
  test(`other calls do not end the last guess while its ${call} runs`, async (t) => {
    const gate = gated(operation);
    const identity = await openIdentity(t, { crypto: gate.crypto, limits: { guessesPerCode: 1 } });
    const { code, pairing } = await identity.desk.mint({ kind: 'typed', address: 'localhost:1' });
    const handshake = await RawHandshake.open(await makeDevice(), peerOf(identity), parsePairingCode(code));
    if (call === 'Confirm') await handshake.exchange();
    gate.arm();
    const atWork = call === 'Confirm' ? handshake.confirm() : handshake.exchange();
    await gate.reached;
    // As every Open and the daemon's timer do.
    await identity.responder.sweep();
    gate.letGo();
    await atWork;
    if (call === 'Exchange') await handshake.confirm();
    assert.equal((await identity.registry.pairing(pairing.id))?.state, 'pending_approval');
  });
}
