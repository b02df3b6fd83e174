// An interceptor without the code: whatever it forwards, the two channels have different
// handshakes.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { type TestContext, test } from 'node:test';
import { type PairingPeer, requestPairing } from '@palyra/identity/device';
import { parsePairingCode } from '@palyra/identity/pairing';
import { dialNode, dialPairing, pairingPeer } from '@palyra/rpc';
import { PairingState } from '@palyra/rpc/admin';
import { credentialOf } from '../testing/bare-tls.ts';
import { expectCode } from '../testing/expect-code.ts';
import { startInterceptor } from '../testing/interceptor.ts';
import { listenAsDaemon, selfSigned } from '../testing/lying-daemon.ts';
import { TestDaemon } from '../testing/running-daemon.ts';
import { collect, makeDevice, pair, request } from '../testing/sample-device.ts';

async function interceptedPairing(t: TestContext, options: { qr?: boolean; ownRoot?: boolean }) {
  const daemon = await TestDaemon.start(t);
  const interceptor = await startInterceptor(t, daemon, options);
  const device = await makeDevice();
  const { code, pairingId } = await daemon.admin.mintCode({ qr: options.qr ?? false });
  const connection = await dialPairing(interceptor.address);
  daemon.closeAtEnd(connection);
  return {
    daemon,
    interceptor,
    device,
    pairingId,
    pairing: requestPairing(device, pairingPeer(connection), parsePairingCode(code), interceptor.address),
  };
}

for (const qr of [false, true]) {
  const kind = qr ? 'QR' : 'typed';

  test(`with a ${kind} code, a proxy that ends TLS is detected at the confirmation`, async (t) => {
    const { daemon, interceptor, device, pairingId, pairing } = await interceptedPairing(t, { qr });
    await expectCode(pairing, 'DAEMON_NOT_AUTHENTICATED');
    assert.deepEqual(interceptor.passedOn, ['open', 'exchange'], 'no confirmation left the device');
    assert.deepEqual(await device.secrets.list('enrollments/'), [], 'the device stored nothing');
    const { state, guessesLeft, failedGuesses } = await daemon.admin.getPairing({ id: pairingId });
    assert.deepEqual(
      { state, guessesLeft, failedGuesses },
      { state: PairingState.WAITING, guessesLeft: 2, failedGuesses: 1 },
    );
  });
}

test('with a typed code, a proxy that names its own root gets no further', async (t) => {
  const { daemon, interceptor, device, pairingId, pairing } = await interceptedPairing(t, { ownRoot: true });
  await expectCode(pairing, 'DAEMON_NOT_AUTHENTICATED');
  assert.deepEqual(interceptor.passedOn, ['open', 'exchange']);
  assert.deepEqual(await device.secrets.list('enrollments/'), []);
  assert.equal((await daemon.admin.getPairing({ id: pairingId })).guessesLeft, 2);
});

test('with a QR code, a proxy that names its own root is detected before anything is sent', async (t) => {
  const { daemon, interceptor, device, pairingId, pairing } = await interceptedPairing(t, {
    qr: true,
    ownRoot: true,
  });
  const error = await expectCode(pairing, 'ROOT_MISMATCH');
  const fingerprint = createHash('sha256').update(interceptor.certificate).digest('hex');
  assert.ok(error.message.includes(fingerprint), 'it names the root of the proxy');
  assert.deepEqual(interceptor.passedOn, ['open']);
  assert.deepEqual(await device.secrets.list('enrollments/'), []);
  assert.equal((await daemon.admin.getPairing({ id: pairingId })).guessesLeft, 3, 'no guess was counted');
});

test('a wait for the decision through a proxy gets no certificate, because the proof is for one channel', async (t) => {
  const daemon = await TestDaemon.start(t);
  const interceptor = await startInterceptor(t, daemon);
  const device = await makeDevice();
  const pending = await request(daemon, device);
  await daemon.admin.approvePairing({ id: pending.requestId });
  const connection = await dialPairing(interceptor.address);
  daemon.closeAtEnd(connection);
  const through: Pick<TestDaemon, 'peer'> = {
    // A device that does not check whom it dialled.
    peer: async () => ({ ...pairingPeer(connection), isKnownDaemon: true, close: () => connection.close() }),
  };
  await expectCode(collect(through as TestDaemon, device, pending), 'PAIRING_NOT_FOUND');
  assert.equal((await daemon.admin.getPairing({ id: pending.requestId })).state, PairingState.APPROVED);
});

test('a device that has pinned the root does not talk to a proxy at all', async (t) => {
  const daemon = await TestDaemon.start(t);
  const interceptor = await startInterceptor(t, daemon);
  const pending = await request(daemon, await makeDevice());
  await expectCode(dialPairing(interceptor.address, pending), 'DAEMON_NOT_AUTHENTICATED');
});

test('a proxy that answers the exchange by itself cannot confirm', async (t) => {
  const daemon = await TestDaemon.start(t);
  const device = await makeDevice();
  const { code } = await daemon.admin.mintCode({});
  const peer = await daemon.peer();
  const sent: string[] = [];
  const lying: PairingPeer = {
    ...peer,
    exchange: async (call) => ({ ...(await peer.exchange(call)), daemonConfirmation: new Uint8Array(32) }),
    confirm: async (call) => {
      sent.push('confirm');
      return peer.confirm(call);
    },
  };
  await expectCode(
    requestPairing(device, lying, parsePairingCode(code), daemon.pairingAddress),
    'DAEMON_NOT_AUTHENTICATED',
  );
  assert.deepEqual(sent, []);
  assert.deepEqual(await device.secrets.list('enrollments/'), []);
});

test('an answer of more than 16 KiB is refused from any peer', async (t) => {
  const address = await listenAsDaemon(t, await selfSigned(), {
    open: () => ({ sessionId: new Uint8Array(16), rootCertificate: new Uint8Array(17 * 1024) }),
  });
  const device = await makeDevice();
  const connection = await dialPairing(address);
  t.after(() => connection.close());
  await expectCode(
    requestPairing(device, pairingPeer(connection), parsePairingCode('123-456789'), address),
    'MESSAGE_TOO_LARGE',
  );
  assert.deepEqual(await device.secrets.list('enrollments/'), []);
});

test('a paired device, whose certificate leads to the same root, cannot pass for the daemon', async (t) => {
  const daemon = await TestDaemon.start(t);
  const rogue = credentialOf(await pair(daemon, await makeDevice({ name: 'rogue' })));
  const address = await listenAsDaemon(t, rogue, {});
  const victim = await makeDevice({ name: 'victim' });
  const pending = await request(daemon, victim);
  await expectCode(dialPairing(address, pending), 'DAEMON_NOT_AUTHENTICATED');
  const paired = await pair(daemon, victim);
  await expectCode(dialNode(address, paired), 'DAEMON_NOT_AUTHENTICATED');
});
