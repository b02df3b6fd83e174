// A device does not wait for ever for a stalled daemon, and a call ends at its own deadline.

import assert from 'node:assert/strict';
import http2 from 'node:http2';
import { test } from 'node:test';
import { create, toBinary } from '@bufbuild/protobuf';
import { requestPairing } from '@palyra/identity/device';
import { parsePairingCode } from '@palyra/identity/pairing';
import { nodeCrypto } from '@palyra/identity/values';
import { dialPairing, PairingService, pairingPeer, recoveryPeer } from '@palyra/rpc';
import { exportChannelBinding } from '@palyra/rpc/transport';
import { awaitProofInput } from '../../packages/identity/src/pairing/transcript.ts';
import { bareSocket } from '../testing/bare-tls.ts';
import { expectCode } from '../testing/expect-code.ts';
import { listenAsDaemon, selfSigned } from '../testing/lying-daemon.ts';
import { frame, rawCall } from '../testing/raw-call.ts';
import { TestDaemon } from '../testing/running-daemon.ts';
import { makeDevice, request } from '../testing/sample-device.ts';

const deadlineExceeded = '4';
const never = () => new Promise<never>(() => {});

for (const stalls of ['open', 'exchange', 'confirm'] as const) {
  test(`a device gives up on a daemon that does not answer ${stalls}`, async (t) => {
    const daemon = await TestDaemon.start(t);
    const { code } = await daemon.admin.mintCode({});
    const device = await makeDevice();
    const connection = await dialPairing(daemon.pairingAddress);
    daemon.closeAtEnd(connection);
    const real = pairingPeer(connection);
    // The same bytes on the wire. A real daemon cannot be made to stall, so a false one does.
    const address = await listenAsDaemon(t, await selfSigned(), { [stalls]: never });
    const deaf = await dialPairing(address);
    t.after(() => deaf.destroy());
    const stalled = pairingPeer(deaf, 300);
    const error = await expectCode(
      requestPairing(device, { ...real, [stalls]: stalled[stalls] }, parsePairingCode(code), address),
      'UNREACHABLE',
    );
    assert.match(String(error.cause), /deadline/);
    assert.deepEqual(await device.secrets.list('enrollments/'), []);
  });
}

test('a device gives up on a daemon that does not answer a recovery', async (t) => {
  const address = await listenAsDaemon(t, await selfSigned(), { challenge: never, recover: never });
  const connection = await dialPairing(address);
  t.after(() => connection.destroy());
  const peer = recoveryPeer(connection, 300);
  await expectCode(peer.challenge(), 'UNREACHABLE');
  const none = new Uint8Array();
  const call = { challenge: none, deviceId: '', tlsKey: none, tlsKeyProof: none, identitySignature: none };
  await expectCode(peer.recover(call), 'UNREACHABLE');
});

test('an Await whose deadline is over while the request waits ends with DEADLINE_EXCEEDED and not as a decision', async (t) => {
  const daemon = await TestDaemon.start(t);
  const pending = await request(daemon, await makeDevice());
  const socket = await bareSocket(daemon.pairingAddress, { rejectUnauthorized: false });
  const session = http2.connect(`https://${daemon.pairingAddress}`, { createConnection: () => socket });
  t.after(() => session.destroy());
  const cb = exportChannelBinding(socket);
  const { requestId } = pending;
  const proof = await nodeCrypto.hmacSha256(pending.awaitKey, awaitProofInput(requestId, cb));
  const { method, typeName } = PairingService;
  const message = toBinary(method.await.input, create(method.await.input, { requestId, proof }));
  const answer = await rawCall(session, `/${typeName}/Await`, frame(message), { 'grpc-timeout': '400m' });
  assert.ok(answer.data.length > 5, 'the current state came first');
  assert.equal(answer.trailers['grpc-status'], deadlineExceeded);
});
