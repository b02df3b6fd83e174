// The daemon's own certificate is replaced while devices are connected.

import assert from 'node:assert/strict';
import test from 'node:test';
import tls from 'node:tls';
import { createClient } from '@connectrpc/connect';
import { NodeService } from '@palyra/rpc';
import { createQuic, dialNodeQuic } from '@palyra/transport-quic';
import { expectCode } from '../testing/expect-code.ts';
import { day, HeldClock } from '../testing/held-clock.ts';
import { TestDaemon } from '../testing/running-daemon.ts';
import { makeDevice, pair } from '../testing/sample-device.ts';

/** TLS uses the real time, so the test begins five days ago and ends now. */
const fiveDaysAgo = () => new HeldClock(Date.now() - 5 * day);
const longLived = { deviceCertificateLifeMs: 30 * day };

function serverSerial(address: string): Promise<string> {
  const [host, port] = address.split(':');
  return new Promise((resolve, reject) => {
    const socket = tls.connect({
      host,
      port: Number(port),
      rejectUnauthorized: false,
      ALPNProtocols: ['h2'],
    });
    socket.once('error', reject);
    socket.once('secureConnect', () => {
      resolve(socket.getPeerCertificate().serialNumber);
      socket.destroy();
    });
  });
}

test('on HTTP/2 a live connection stays, and a new one sees the new certificate', async (t) => {
  const clock = fiveDaysAgo();
  const daemon = await TestDaemon.start(t, { clock, limits: longLived });
  const device = await makeDevice({ clock });
  const node = await daemon.node(await pair(daemon, device));
  await node.status({});
  const [node1, pairing1] = [
    await serverSerial(daemon.nodeAddress),
    await serverSerial(daemon.pairingAddress),
  ];
  await daemon.running.tick();
  assert.equal(await serverSerial(daemon.nodeAddress), node1, 'it is not due yet');
  clock.advance(5 * day);
  const calls = Array.from({ length: 50 }, () => node.status({}));
  await daemon.running.tick();
  await Promise.all(calls);
  assert.notEqual(await serverSerial(daemon.nodeAddress), node1);
  assert.notEqual(await serverSerial(daemon.pairingAddress), pairing1);
  await node.status({});
});

test('a certificate that was made while the clock was ahead is replaced once the clock is right', async (t) => {
  const clock = new HeldClock();
  const daemon = await TestDaemon.start(t, { clock });
  const device = await makeDevice({ clock });
  const enrollment = await pair(daemon, device);
  clock.advance(5 * day);
  await daemon.running.tick();
  await expectCode(daemon.node(enrollment), 'CLOCK_SKEW');
  clock.advance(-5 * day);
  await daemon.running.tick();
  await (await daemon.node(enrollment)).status({});
});

test('on QUIC the connection ends with a reason to come back, and the next one works at once', async (t) => {
  const clock = fiveDaysAgo();
  const daemon = await TestDaemon.start(t, { clock, limits: longLived });
  const device = await makeDevice({ clock });
  const enrollment = await pair(daemon, device);
  const quic = createQuic();
  const before = await dialNodeQuic(quic, enrollment);
  await createClient(NodeService, before.transport).status({});
  clock.advance(5 * day);
  await daemon.running.tick();
  await before.closed;
  const after = await dialNodeQuic(quic, enrollment);
  daemon.closeAtEnd(after);
  const reply = await createClient(NodeService, after.transport).status({});
  assert.equal(reply.deviceId, device.identity.id);
});
