// An interceptor who terminates the channel and opens another one to the daemon: the two channels have different handshake
// hashes, so pairing and recovery fail as they do through a proxy that ends TLS.

import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { DeviceChannel } from '@palyra/channel';
import { recoverCertificate, requestPairing } from '@palyra/identity/device';
import { parsePairingCode } from '@palyra/identity/pairing';
import { pairingPeer, recoveryPeer } from '@palyra/rpc';
import { PairingState } from '@palyra/rpc/admin';
import type { ByteStream } from '@palyra/rpc/portable';
import { dialChannel, dialPairingWeb, listen } from '@palyra/transport-websocket';
import { createPki } from '../../packages/rpc/src/testing/pki.ts';
import { expectCode } from '../testing/expect-code.ts';
import { TestDaemon } from '../testing/running-daemon.ts';
import { makeDevice, pair } from '../testing/sample-device.ts';

for (const qr of [false, true]) {
  test(`with a ${qr ? 'QR' : 'typed'} code, an interceptor of channels is detected at the confirmation`, async (t) => {
    const daemon = await TestDaemon.start(t, { web: { port: 0 } });
    const address = await intercept(t, daemon);
    const device = await makeDevice();
    const { code, pairingId } = await daemon.admin.mintCode({ qr });
    const connection = await dialPairingWeb(address);
    daemon.closeAtEnd(connection);
    const pairing = requestPairing(device, pairingPeer(connection), parsePairingCode(code), address);
    await expectCode(pairing, 'DAEMON_NOT_AUTHENTICATED');
    assert.deepEqual(await device.secrets.list('enrollments/'), [], 'the device stored nothing');
    const { state, guessesLeft } = await daemon.admin.getPairing({ id: pairingId });
    assert.deepEqual({ state, guessesLeft }, { state: PairingState.WAITING, guessesLeft: 2 });
  });
}

test('without an interceptor, a device pairs and recovers over channels', async (t) => {
  const daemon = await TestDaemon.start(t, { web: { port: 0 } });
  const device = await makeDevice();
  const enrollment = await pair(daemon, device);
  const connection = await dialPairingWeb(daemon.webAddress, enrollment);
  daemon.closeAtEnd(connection);
  const recovered = await recoverCertificate(device, enrollment, recoveryPeer(connection));
  assert.notDeepEqual(recovered.certificateChain[0], enrollment.certificateChain[0]);
});

test('a recovery talks only to the known daemon', async (t) => {
  const daemon = await TestDaemon.start(t, { web: { port: 0 } });
  const enrollment = await pair(daemon, await makeDevice());
  const address = await intercept(t, daemon);
  await expectCode(dialPairingWeb(address, enrollment), 'DAEMON_NOT_AUTHENTICATED');
});

/** Forwards the messages that it can read. */
async function intercept(t: TestContext, daemon: TestDaemon): Promise<string> {
  const pki = await createPki();
  const upstreams = new Map<object, Promise<DeviceChannel>>();
  const upstreamOf = (connection: object) => {
    const url = new URL(daemon.webAddress);
    const known = upstreams.get(connection) ?? dialChannel({ url, purpose: 'pair', judge: () => undefined });
    upstreams.set(connection, known);
    return known;
  };
  t.after(async () => {
    for (const upstream of upstreams.values()) (await upstream).close();
  });
  const listener = await listen({
    host: '127.0.0.1',
    port: 0,
    tls: pki.serverTls,
    purposes: ['pair'],
    admit: async () => {},
    async serve(stream, connection) {
      const upstream = await upstreamOf(connection);
      const call = await upstream.openStream();
      await Promise.allSettled([pass(stream, call), pass(call, stream)]);
    },
  });
  t.after(() => listener.close());
  return `ws://127.0.0.1:${listener.port}/channel`;
}

async function pass(from: ByteStream, to: ByteStream): Promise<void> {
  for (let bytes = await from.read(); bytes; bytes = await from.read()) await to.write(bytes);
  await to.end();
}
