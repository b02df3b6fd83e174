// The agent reconnects with its newest certificate, until the daemon refuses the device for good.

import assert from 'node:assert/strict';
import test from 'node:test';
import type { AgentState } from '@palyra/agent';
import { readPeerCertificate } from '@palyra/identity/certificate';
import { renewCertificate } from '@palyra/identity/device';
import { CertificateState } from '@palyra/rpc/admin';
import { freePort } from '../testing/free-port.ts';
import { day, HeldClock, hour } from '../testing/held-clock.ts';
import { TestDaemon } from '../testing/running-daemon.ts';
import { makeDevice, pair } from '../testing/sample-device.ts';
import { json, parsed, TestAgent } from '../testing/test-agent.ts';

test('an agent whose certificate alone was revoked waits for the operator', async (t) => {
  const daemon = await TestDaemon.start(t);
  const device = await makeDevice();
  const enrollment = await pair(daemon, device);
  const agent = new TestAgent(t, device, enrollment);
  await agent.connected();
  const { serial } = readPeerCertificate(enrollment.certificateChain[0]!);
  await daemon.admin.revokeCertificate({ serial, reason: 'copied' });
  const asks = (states: readonly AgentState[]) =>
    states.some((each) => each.state === 'disconnected' && each.error.code === 'RECOVERY_NEEDS_APPROVAL');
  await agent.until(asks);
  assert.ok((await daemon.admin.getDevice({ id: device.identity.id })).device!.recoveryAskedMs > 0n);
  await agent.stop();
  assert.equal(await agent.ended, undefined, 'it did not end by itself');
  await daemon.admin.releaseDevice({ id: device.identity.id });
  const again = new TestAgent(t, device, enrollment);
  await again.connected();
});

test('an agent reconnects to a restarted daemon', async (t) => {
  const ports = { pairing: await freePort(), node: await freePort() };
  const daemon = await TestDaemon.start(t, { ports });
  const device = await makeDevice();
  const agent = new TestAgent(t, device, await pair(daemon, device));
  await agent.connected();
  await daemon.stop();
  const again = await TestDaemon.start(t, { ports, home: daemon.home });
  await agent.connected(2);
  const { output } = await again.admin.executeCapability({
    deviceId: device.identity.id,
    capability: 'echo',
    input: json(7),
  });
  assert.equal(parsed(output), 7);
});

test('an agent reconnects with a certificate that another process on its machine has renewed', async (t) => {
  const daemon = await TestDaemon.start(t);
  const device = await makeDevice();
  const enrollment = await pair(daemon, device);
  const agent = new TestAgent(t, device, enrollment);
  await agent.connected();
  const node = await daemon.node(enrollment);
  const renewed = await renewCertificate(device, enrollment, (proof) => node.renew(proof));
  agent.connections[0]!.close();
  await agent.connected(2);
  const { serial } = readPeerCertificate(renewed.certificateChain[0]!);
  const { certificates } = await daemon.admin.getDevice({ id: device.identity.id });
  assert.equal(certificates.find((each) => each.serial === serial)?.state, CertificateState.ACTIVE);
});

test('an agent uses a newer certificate even after the clock was set back', async (t) => {
  const daemon = await TestDaemon.start(t);
  const clock = new HeldClock();
  const device = await makeDevice({ clock });
  const enrollment = await pair(daemon, device);
  const agent = new TestAgent(t, device, enrollment);
  await agent.connected();
  clock.advance(-hour);
  const node = await daemon.node(enrollment);
  const renewed = await renewCertificate(device, enrollment, (proof) => node.renew(proof));
  await (await daemon.node(renewed)).status({});
  await agent.connected(2);
  const { certificates } = await daemon.admin.getDevice({ id: device.identity.id });
  assert.equal(certificates.length, 2, 'it did not have to recover');
});

test('an agent whose clock is ahead by more than a certificate lives does not renew at each connection', async (t) => {
  const daemon = await TestDaemon.start(t);
  const clock = new HeldClock();
  const device = await makeDevice({ clock });
  const enrollment = await pair(daemon, device);
  clock.advance(2 * day);
  const agent = new TestAgent(t, device, { ...enrollment, receivedAt: clock.now().getTime() });
  await agent.connected();
  agent.connections[0]!.close();
  await agent.connected(2);
  assert.equal(agent.states.filter(({ state }) => state === 'renewed').length, 0);
});
