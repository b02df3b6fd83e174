// An interceptor who terminates the channel and opens another one to the daemon: the two channels have different handshake
// hashes, so pairing and recovery fail as they do through a proxy that ends TLS.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { recoverCertificate, requestPairing } from '@palyra/identity/device';
import { parsePairingCode } from '@palyra/identity/pairing';
import { pairingPeer, recoveryPeer } from '@palyra/rpc';
import { PairingState } from '@palyra/rpc/admin';
import { dialPairingWeb } from '@palyra/transport-websocket';
import { interceptChannels } from '../testing/channel-interceptor.ts';
import { expectCode } from '../testing/expect-code.ts';
import { TestDaemon } from '../testing/running-daemon.ts';
import { makeDevice, pair } from '../testing/sample-device.ts';

for (const qr of [false, true]) {
  test(`with a ${qr ? 'QR' : 'typed'} code, an interceptor of channels is detected at the confirmation`, async (t) => {
    const daemon = await TestDaemon.start(t, { web: { port: 0 } });
    const address = await interceptChannels(t, daemon);
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
  const address = await interceptChannels(t, daemon);
  await expectCode(dialPairingWeb(address, enrollment), 'DAEMON_NOT_AUTHENTICATED');
});
