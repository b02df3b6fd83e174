// Three guesses per code, each counted before its answer, and slots that reveal nothing.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type PairingPeer, requestPairing } from '@palyra/identity/device';
import { parsePairingCode } from '@palyra/identity/pairing';
import { ExplainResponse_Decision, PairingState } from '@palyra/rpc/admin';
import { expectCode } from '../testing/expect-code.ts';
import { HeldClock, minute } from '../testing/held-clock.ts';
import { RawHandshake } from '../testing/raw-handshake.ts';
import { recordedPeer } from '../testing/recorded-peer.ts';
import { TestDaemon } from '../testing/running-daemon.ts';
import { makeDevice, type SampleDevice } from '../testing/sample-device.ts';
import { wrongPin } from '../testing/wrong-code.ts';

/** A wrong guess by an honest device: it sees that the code is wrong and stops. */
async function guessWrong(daemon: TestDaemon, device: SampleDevice, code: string): Promise<void> {
  await expectCode(
    requestPairing(device, await daemon.peer(), wrongPin(code), daemon.pairingAddress),
    'DAEMON_NOT_AUTHENTICATED',
  );
}

/** A wrong guess by a peer that sends the confirmation nevertheless. */
async function confirmWrong(device: SampleDevice, peer: PairingPeer, code: string): Promise<void> {
  const handshake = await RawHandshake.open(device, peer, wrongPin(code));
  await handshake.exchange();
  assert.equal(handshake.daemonProven, false);
  await expectCode(handshake.confirm(), 'PAIRING_CODE_WRONG');
}

test('after three wrong PINs the right one fails, and the operator sees why', async (t) => {
  const clock = new HeldClock();
  const daemon = await TestDaemon.start(t, { clock });
  const device = await makeDevice({ clock });
  const { code, pairingId } = await daemon.admin.mintCode({});
  for (const left of [2, 1, 0]) {
    await guessWrong(daemon, device, code);
    const { guessesLeft, failedGuesses, state } = await daemon.admin.getPairing({ id: pairingId });
    assert.deepEqual(
      { guessesLeft, failedGuesses, state },
      { guessesLeft: left, failedGuesses: 3 - left, state: PairingState.WAITING },
    );
  }
  const right = parsePairingCode(code);
  await expectCode(
    requestPairing(device, await daemon.peer(), right, daemon.pairingAddress),
    'DAEMON_NOT_AUTHENTICATED',
  );
  assert.deepEqual(await device.secrets.list('enrollments/'), []);

  // The third handshake could still have been confirmed. With its session over, the code is over too.
  clock.advance(2 * minute);
  await daemon.running.identity.tick();
  assert.equal((await daemon.admin.getPairing({ id: pairingId })).state, PairingState.EXHAUSTED);
  assert.deepEqual(daemon.statesOf(pairingId), ['waiting', 'exhausted']);
  const why = await daemon.admin.explain({ id: pairingId });
  assert.equal(why.code, 'PAIRING_CODE_WRONG');
  assert.equal(why.decision, ExplainResponse_Decision.REFUSED);
  const { entries } = await daemon.admin.listAudit({ subject: pairingId });
  assert.deepEqual(
    entries.map((each) => each.action),
    ['code.exhausted', 'code.guessed', 'code.guessed', 'code.guessed', 'code.minted'],
  );
});

test('a third guess that is confirmed wrong ends the code at once', async (t) => {
  const daemon = await TestDaemon.start(t);
  const device = await makeDevice();
  const peer = await daemon.peer();
  const { code, pairingId } = await daemon.admin.mintCode({});
  for (let guess = 0; guess < 3; guess += 1) await confirmWrong(device, peer, code);
  assert.equal((await daemon.admin.getPairing({ id: pairingId })).state, PairingState.EXHAUSTED);
  await expectCode(
    requestPairing(device, peer, parsePairingCode(code), daemon.pairingAddress),
    'DAEMON_NOT_AUTHENTICATED',
  );
});

test('a right third guess succeeds, and the operator sees the two wrong ones', async (t) => {
  const daemon = await TestDaemon.start(t);
  const device = await makeDevice();
  const { code, pairingId } = await daemon.admin.mintCode({});
  await guessWrong(daemon, device, code);
  await guessWrong(daemon, device, code);
  await requestPairing(device, await daemon.peer(), parsePairingCode(code), daemon.pairingAddress);
  const { state, guessesLeft, failedGuesses } = await daemon.admin.getPairing({ id: pairingId });
  assert.deepEqual(
    { state, guessesLeft, failedGuesses },
    {
      state: PairingState.PENDING_APPROVAL,
      guessesLeft: 0,
      failedGuesses: 2,
    },
  );
  const { entries } = await daemon.admin.listAudit({ subject: pairingId });
  const received = entries.find((each) => each.action === 'request.received');
  assert.equal(JSON.parse(received!.detailJson).guesses_left, 0, 'the audit names the guess that was right');
});

test('the last guess can still be confirmed while other peers keep trying', async (t) => {
  const daemon = await TestDaemon.start(t);
  const device = await makeDevice();
  const { code, pairingId } = await daemon.admin.mintCode({});
  await guessWrong(daemon, device, code);
  await guessWrong(daemon, device, code);
  const last = await RawHandshake.open(device, await daemon.peer(), parsePairingCode(code));
  await last.exchange();
  const other = await daemon.peer();
  for (let knock = 0; knock < 3; knock += 1) await confirmWrong(device, other, code);
  assert.equal((await daemon.admin.getPairing({ id: pairingId })).state, PairingState.WAITING);
  assert.equal((await last.confirm()).requestId, pairingId);
});

test('of ten simultaneous handshakes with the right code, three are guesses and one becomes the request', async (t) => {
  const daemon = await TestDaemon.start(t);
  const { code, pairingId } = await daemon.admin.mintCode({});
  const right = parsePairingCode(code);
  const handshakes = await Promise.all(
    Array.from({ length: 10 }, async () => RawHandshake.open(await makeDevice(), await daemon.peer(), right)),
  );
  await Promise.all(handshakes.map((each) => each.exchange()));
  assert.equal(handshakes.filter((each) => each.daemonProven).length, 3);
  const outcomes = await Promise.allSettled(handshakes.map((each) => each.confirm()));
  assert.equal(outcomes.filter((each) => each.status === 'fulfilled').length, 1);
  const { state, guessesLeft } = await daemon.admin.getPairing({ id: pairingId });
  assert.deepEqual({ state, guessesLeft }, { state: PairingState.PENDING_APPROVAL, guessesLeft: 0 });
});

test('a code works once: a second device with the same code is told that the code is wrong', async (t) => {
  const daemon = await TestDaemon.start(t);
  const { code, pairingId } = await daemon.admin.mintCode({});
  const right = parsePairingCode(code);
  const first = await makeDevice();
  await requestPairing(first, await daemon.peer(), right, daemon.pairingAddress);
  const second = await makeDevice();
  await expectCode(
    requestPairing(second, await daemon.peer(), right, daemon.pairingAddress),
    'DAEMON_NOT_AUTHENTICATED',
  );
  assert.deepEqual(await second.secrets.list('enrollments/'), []);
  const shown = await daemon.admin.getPairing({ id: pairingId });
  assert.equal(shown.device?.deviceId, first.identity.id);
});

test('of two handshakes on one code, the first to confirm gets it and the other is refused', async (t) => {
  const daemon = await TestDaemon.start(t);
  const { code, pairingId } = await daemon.admin.mintCode({});
  const right = parsePairingCode(code);
  const one = await RawHandshake.open(await makeDevice(), await daemon.peer(), right);
  const two = await RawHandshake.open(await makeDevice(), await daemon.peer(), right);
  await one.exchange();
  await two.exchange();
  await one.confirm();
  await expectCode(two.confirm(), 'PAIRING_STATE_CONFLICT');
  const shown = await daemon.admin.getPairing({ id: pairingId });
  assert.equal(shown.device?.deviceId, one.device.identity.id);
});

test('a slot reveals nothing: unknown, used, exhausted, withdrawn and valid slots get equal answers', async (t) => {
  const daemon = await TestDaemon.start(t);
  const device = await makeDevice();
  const mint = async () => (await daemon.admin.mintCode({})).code;

  const good = await mint();
  const used = await mint();
  await requestPairing(device, await daemon.peer(), parsePairingCode(used), daemon.pairingAddress);
  const exhausted = await mint();
  const guesser = await daemon.peer();
  for (let guess = 0; guess < 3; guess += 1) await confirmWrong(device, guesser, exhausted);
  const withdrawn = await daemon.admin.mintCode({});
  await daemon.admin.rejectPairing({ id: withdrawn.pairingId });
  const taken = new Set([good, used, exhausted, withdrawn.code].map((code) => code.slice(0, 3)));
  const slots = Array.from({ length: 5 }, (_, n) => String(n).padStart(3, '0'));
  const unknown = `${slots.find((slot) => !taken.has(slot))}-000000`;

  const probe = async (code: string) => {
    const peer = await recordedPeer(daemon);
    await confirmWrong(device, peer, code);
    return peer.recorded;
  };
  const expected = await probe(good);
  assert.deepEqual(
    expected.map((each) => each.call),
    ['Open', 'Exchange', 'Confirm'],
  );
  for (const code of [unknown, used, exhausted, withdrawn.code]) {
    assert.deepEqual(await probe(code), expected);
  }
});

test('QR slots reveal as little as typed ones', async (t) => {
  const daemon = await TestDaemon.start(t);
  const device = await makeDevice();
  const { code } = await daemon.admin.mintCode({ qr: true });
  const real = parsePairingCode(code);
  const probe = async (slot: Uint8Array) => {
    const peer = await recordedPeer(daemon);
    const wrong = { ...real, slot, secret: new Uint8Array(32) };
    const handshake = await RawHandshake.open(device, peer, wrong);
    await handshake.exchange();
    await expectCode(handshake.confirm(), 'PAIRING_CODE_WRONG');
    return peer.recorded;
  };
  assert.deepEqual(await probe(new Uint8Array(16)), await probe(real.slot));
});
