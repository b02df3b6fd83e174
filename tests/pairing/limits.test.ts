// Limits and lifetimes: a request over a limit is refused, counted, and told when to retry.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import http2 from 'node:http2';
import { test } from 'node:test';
import { create, toBinary } from '@bufbuild/protobuf';
import type { IdentityError } from '@palyra/identity';
import { awaitPairing, loadEnrollments, type PairingPeer, requestPairing } from '@palyra/identity/device';
import { parsePairingCode } from '@palyra/identity/pairing';
import { PairingService } from '@palyra/rpc';
import { DeviceKind, PairingState } from '@palyra/rpc/admin';
import { bareSocket } from '../testing/bare-tls.ts';
import { expectCode } from '../testing/expect-code.ts';
import { day, HeldClock, hour, minute, second } from '../testing/held-clock.ts';
import { frame, rawCall } from '../testing/raw-call.ts';
import { RawHandshake } from '../testing/raw-handshake.ts';
import { TestDaemon } from '../testing/running-daemon.ts';
import { collect, makeDevice, pair, request } from '../testing/sample-device.ts';
import { longestWaitMs } from '../testing/until.ts';

const open = (peer: PairingPeer) => peer.open({ version: 2, slot: Buffer.from('123'), kind: 'cli' });

function assertRetry(error: IdentityError, longest: number): void {
  const { retryAfterMs } = error;
  assert.ok(retryAfterMs !== undefined && retryAfterMs > 0 && retryAfterMs <= longest, String(retryAfterMs));
}

test('the eleventh Open in a minute from one source is refused, and its earlier sessions continue', async (t) => {
  const daemon = await TestDaemon.start(t, { limits: { opensPerMinutePerSource: 10 } });
  const { code } = await daemon.admin.mintCode({});
  const handshake = await RawHandshake.open(await makeDevice(), await daemon.peer(), parsePairingCode(code));
  for (let n = 2; n <= 10; n += 1) await open(await daemon.peer());
  assertRetry(await expectCode(open(await daemon.peer()), 'RATE_LIMITED'), minute);
  assertRetry(await expectCode(open(handshake.peer), 'RATE_LIMITED'), minute);
  await handshake.exchange();
  await handshake.confirm();
});

test('a refusal carries retry-after for clients that do not read our details', async (t) => {
  const daemon = await TestDaemon.start(t, { limits: { opensPerMinutePerSource: 1 } });
  const socket = await bareSocket(daemon.pairingAddress, { rejectUnauthorized: false });
  const session = http2.connect(`https://${daemon.pairingAddress}`, { createConnection: () => socket });
  const { input } = PairingService.method.open;
  const message = create(input, { version: 2, slot: Buffer.from('123'), clientKind: DeviceKind.CLI });
  const call = () => rawCall(session, `/${PairingService.typeName}/Open`, frame(toBinary(input, message)));
  assert.equal((await call()).trailers['grpc-status'], '0');
  const { headers } = await call();
  assert.equal(headers['grpc-status'], '8');
  assert.match(headers['retry-after'] ?? '', /^([1-9]|[1-5][0-9]|60)$/);
  session.close();
  await once(session, 'close');
});

test('one source over its limit does not shut out another', {
  skip: process.platform !== 'linux' && 'only Linux has 127.0.0.2 without being told',
}, async (t) => {
  const daemon = await TestDaemon.start(t, { limits: { opensPerMinutePerSource: 1 } });
  await open(await daemon.peer());
  await expectCode(open(await daemon.peer()), 'RATE_LIMITED');
  const socket = await bareSocket(daemon.pairingAddress, {
    rejectUnauthorized: false,
    localAddress: '127.0.0.2',
  });
  const session = http2.connect(`https://${daemon.pairingAddress}`, { createConnection: () => socket });
  const { input } = PairingService.method.open;
  const message = create(input, { version: 2, slot: Buffer.from('123'), clientKind: DeviceKind.CLI });
  const answer = await rawCall(session, `/${PairingService.typeName}/Open`, frame(toBinary(input, message)));
  assert.equal(answer.trailers['grpc-status'], '0');
  session.close();
  await once(session, 'close');
});

test('there is a limit for all sources together too', async (t) => {
  const daemon = await TestDaemon.start(t, { limits: { opensPerMinute: 3 } });
  for (let n = 1; n <= 3; n += 1) await open(await daemon.peer());
  assertRetry(await expectCode(open(await daemon.peer()), 'RATE_LIMITED'), minute);
});

test('simultaneous handshakes are limited, until some end', async (t) => {
  const clock = new HeldClock();
  const daemon = await TestDaemon.start(t, { clock, limits: { sessions: 3 } });
  const peer = await daemon.peer();
  for (let n = 1; n <= 3; n += 1) await open(peer);
  assertRetry(await expectCode(open(peer), 'TOO_MANY_SESSIONS'), 2 * minute);
  clock.advance(2 * minute);
  for (let n = 1; n <= 3; n += 1) await open(peer);
  // Setting the clock back does not keep them longer.
  clock.advance(-day);
  for (let n = 1; n <= 3; n += 1) await open(peer);
  await expectCode(open(peer), 'TOO_MANY_SESSIONS');
});

test('a handshake makes room when its connection ends', async (t) => {
  const daemon = await TestDaemon.start(t, { limits: { sessions: 3 } });
  const gone = await daemon.peer();
  const stays = await daemon.peer();
  for (let n = 1; n <= 2; n += 1) await open(gone);
  await open(stays);
  await expectCode(open(stays), 'TOO_MANY_SESSIONS');
  gone.close();
  // As soon as the daemon notices. A refused call costs nothing.
  for (let opened = 0; opened < 2; ) {
    opened += await open(stays).then(
      () => 1,
      () => 0,
    );
  }
  // The handshakes of the remaining connection are still there.
  await expectCode(open(stays), 'TOO_MANY_SESSIONS');
});

test('waiting codes are limited, until one is used, withdrawn or expired', async (t) => {
  const clock = new HeldClock();
  const daemon = await TestDaemon.start(t, { clock, limits: { liveCodes: 2 } });
  const first = await daemon.admin.mintCode({});
  const second = await daemon.admin.mintCode({ qr: true });
  await expectCode(daemon.admin.mintCode({}), 'TOO_MANY_CODES');
  await daemon.admin.rejectPairing({ id: second.pairingId });
  await daemon.admin.mintCode({});
  await expectCode(daemon.admin.mintCode({}), 'TOO_MANY_CODES');
  await requestPairing(
    await makeDevice({ clock }),
    await daemon.peer(),
    parsePairingCode(first.code),
    daemon.pairingAddress,
  );
  await daemon.admin.mintCode({});
  await expectCode(daemon.admin.mintCode({}), 'TOO_MANY_CODES');
  clock.advance(10 * minute);
  await daemon.admin.mintCode({});
  assert.equal((await daemon.admin.getStatus({})).liveCodes, 1);
});

test('waiting requests are limited; a decision makes room, even for the refused code', async (t) => {
  const daemon = await TestDaemon.start(t, { limits: { pendingRequests: 1 } });
  const first = await request(daemon, await makeDevice());
  const { code, pairingId } = await daemon.admin.mintCode({});
  const device = await makeDevice();
  const ask = async () =>
    requestPairing(device, await daemon.peer(), parsePairingCode(code), daemon.pairingAddress);
  assertRetry(await expectCode(ask(), 'TOO_MANY_REQUESTS'), hour);
  assert.deepEqual(await loadEnrollments(device.secrets), []);
  const { state, guessesLeft } = await daemon.admin.getPairing({ id: pairingId });
  assert.deepEqual({ state, guessesLeft }, { state: PairingState.WAITING, guessesLeft: 3 });
  // More often than the guesses of the code and the tries of the device.
  for (let again = 0; again < 4; again += 1) await expectCode(ask(), 'TOO_MANY_REQUESTS');
  await daemon.admin.rejectPairing({ id: first.requestId });
  assert.equal((await ask()).requestId, pairingId);
});

test('a list that fills up between Exchange and Confirm leaves the code as it is', async (t) => {
  const daemon = await TestDaemon.start(t, { limits: { pendingRequests: 1 } });
  const { code, pairingId } = await daemon.admin.mintCode({});
  const late = await RawHandshake.open(await makeDevice(), await daemon.peer(), parsePairingCode(code));
  await late.exchange();
  const first = await request(daemon, await makeDevice());
  assertRetry(await expectCode(late.confirm(), 'TOO_MANY_REQUESTS'), hour);
  const { state, guessesLeft } = await daemon.admin.getPairing({ id: pairingId });
  assert.deepEqual({ state, guessesLeft }, { state: PairingState.WAITING, guessesLeft: 2 });
  await daemon.admin.rejectPairing({ id: first.requestId });
  const again = await requestPairing(
    late.device,
    await daemon.peer(),
    parsePairingCode(code),
    daemon.pairingAddress,
  );
  assert.equal(again.requestId, pairingId);
});

test('a code lives from half a minute to a day', async (t) => {
  const clock = new HeldClock();
  const daemon = await TestDaemon.start(t, { clock });
  for (const lifeSeconds of [1, 29, 86_401, 4_294_967_295]) {
    await expectCode(daemon.admin.mintCode({ lifeSeconds }), 'MESSAGE_INVALID');
  }
  const now = clock.now().getTime();
  for (const [lifeSeconds, expected] of [
    [0, 600],
    [30, 30],
    [86_400, 86_400],
  ] as const) {
    const { expiresAtMs } = await daemon.admin.mintCode({ lifeSeconds });
    assert.equal(Number(expiresAtMs), now + expected * second);
  }
});

test('an expired code looks like a code that never existed, at every step', async (t) => {
  const clock = new HeldClock();
  const daemon = await TestDaemon.start(t, { clock, limits: { sessionLifeMs: hour } });
  const device = await makeDevice({ clock });
  const minted = await daemon.admin.mintCode({});
  const code = parsePairingCode(minted.code);
  const opened = await RawHandshake.open(device, await daemon.peer(), code);
  const exchanged = await RawHandshake.open(device, await daemon.peer(), code);
  await exchanged.exchange();
  assert.equal(exchanged.daemonProven, true);
  clock.advance(10 * minute);

  await expectCode(exchanged.confirm(), 'PAIRING_EXPIRED');
  await opened.exchange();
  assert.equal(opened.daemonProven, false);
  await expectCode(
    requestPairing(device, await daemon.peer(), code, daemon.pairingAddress),
    'DAEMON_NOT_AUTHENTICATED',
  );
  await daemon.running.identity.tick();
  const shown = await daemon.admin.getPairing({ id: minted.pairingId });
  assert.equal(shown.state, PairingState.EXPIRED);
  assert.equal(shown.guessesLeft, 2, 'guesses after its end did not count for the code');
  assert.equal((await daemon.admin.explain({ id: minted.pairingId })).code, 'PAIRING_EXPIRED');
  assert.deepEqual(daemon.statesOf(minted.pairingId), ['waiting', 'expired']);
});

test('a handshake that takes longer than two minutes is over, at every step', async (t) => {
  const clock = new HeldClock();
  const daemon = await TestDaemon.start(t, { clock });
  const device = await makeDevice({ clock });
  const { code, pairingId } = await daemon.admin.mintCode({});
  const opened = await RawHandshake.open(device, await daemon.peer(), parsePairingCode(code));
  assert.equal(opened.opened.expiresAt.getTime(), clock.now().getTime() + 2 * minute);
  const exchanged = await RawHandshake.open(device, await daemon.peer(), parsePairingCode(code));
  await exchanged.exchange();
  clock.advance(2 * minute);
  await expectCode(opened.exchange(), 'SESSION_NOT_FOUND');
  await expectCode(exchanged.confirm(), 'SESSION_NOT_FOUND');
  assert.equal((await daemon.admin.getPairing({ id: pairingId })).state, PairingState.WAITING);
  await requestPairing(device, await daemon.peer(), parsePairingCode(code), daemon.pairingAddress);
});

test('an undecided request expires, and the waiting device learns this and forgets the request', async (t) => {
  const clock = new HeldClock();
  const daemon = await TestDaemon.start(t, { clock });
  const device = await makeDevice({ clock });
  const pending = await request(daemon, device);
  const waits = Promise.withResolvers<void>();
  const refusal = expectCode(
    awaitPairing(device, await daemon.peer(pending), pending, {
      signal: AbortSignal.timeout(longestWaitMs),
      onState: () => waits.resolve(),
    }),
    'PAIRING_EXPIRED',
  );
  await waits.promise;
  clock.advance(hour);
  await expectCode(daemon.admin.approvePairing({ id: pending.requestId }), 'PAIRING_EXPIRED');
  await expectCode(daemon.admin.rejectPairing({ id: pending.requestId }), 'PAIRING_EXPIRED');
  await daemon.running.identity.tick();
  await refusal;
  assert.deepEqual(await loadEnrollments(device.secrets), []);
  await expectCode(daemon.admin.approvePairing({ id: pending.requestId }), 'PAIRING_EXPIRED');
  assert.equal((await daemon.admin.getStatus({})).pendingRequests, 0);
});

test('an approval that is never collected expires', async (t) => {
  const clock = new HeldClock();
  const daemon = await TestDaemon.start(t, { clock, limits: { collectLifeMs: hour } });
  const device = await makeDevice({ clock });
  const pending = await request(daemon, device);
  await daemon.admin.approvePairing({ id: pending.requestId });
  clock.advance(hour);
  await expectCode(collect(daemon, device, pending), 'PAIRING_EXPIRED');
  await daemon.running.identity.tick();
  await expectCode(collect(daemon, device, pending), 'PAIRING_EXPIRED');
  assert.deepEqual(daemon.statesOf(pending.requestId).slice(-2), ['approved', 'expired']);
});

test('a certificate that is never used expires by itself, and its pairing with it', async (t) => {
  const clock = new HeldClock();
  const daemon = await TestDaemon.start(t, { clock });
  const device = await makeDevice({ clock });
  const paired = await pair(daemon, device);
  clock.advance(day);
  await daemon.running.identity.tick();
  const { pairings } = await daemon.admin.listPairings({});
  assert.deepEqual(
    pairings.map((each) => each.state),
    [PairingState.EXPIRED],
  );
  await expectCode((await daemon.node(paired)).status({}), 'CERTIFICATE_EXPIRED');
});

test('a stream of pairings ends for a slow reader, and queues no more for it', async (t) => {
  const daemon = await TestDaemon.start(t);
  const { pairingId } = await daemon.admin.mintCode({});
  const pairings = daemon.admin.watchPairings({})[Symbol.asyncIterator]();
  const events = daemon.admin.watch({})[Symbol.asyncIterator]();
  await Promise.all([pairings.next(), events.next()]);
  // All in one turn of the event loop, in which no reader reads.
  await daemon.running.identity.registry.transact(async (tx) => {
    const pairing = await tx.pairing(pairingId);
    assert.ok(pairing);
    for (let told = 0; told < 5_000; told++) tx.emit({ type: 'pairing_changed', pairing });
  });
  for (const stream of [pairings, events]) {
    const readOn = async () => {
      let read = 0;
      while (!(await stream.next()).done) read += 1;
      return read;
    };
    const { message } = await expectCode(readOn(), 'UNREACHABLE');
    assert.match(message, /Watch again/);
  }
});
