// A second agent of one device: from a copied home, or next to another process on the machine that renews.

import assert from 'node:assert/strict';
import test from 'node:test';
import { MemorySecretStore } from '@palyra/identity';
import { readPeerCertificate } from '@palyra/identity/certificate';
import { recoverCertificate, renewCertificate } from '@palyra/identity/device';
import { dialPairing, recoveryPeer } from '@palyra/rpc';
import { DeviceState, ExplainResponse_Decision } from '@palyra/rpc/admin';
import { expectCode } from '../testing/expect-code.ts';
import { TestDaemon } from '../testing/running-daemon.ts';
import { makeDevice, pair } from '../testing/sample-device.ts';
import { TestAgent } from '../testing/test-agent.ts';

for (const transport of ['http2', 'quic'] as const) {
  test(`over ${transport}, a second agent of a copied home is refused and reported, and the first one stays`, async (t) => {
    const daemon = await TestDaemon.start(t);
    const device = await makeDevice();
    const enrollment = await pair(daemon, device);
    const first = new TestAgent(t, device, enrollment, { transport });
    await first.connected();
    const deviceId = device.identity.id;
    for (let turn = 0; turn < 3; turn += 1) {
      const copy = new TestAgent(t, device, enrollment, { transport });
      assert.equal((await copy.ended)?.code, 'CHANNEL_IN_USE');
    }
    const { serial } = readPeerCertificate(enrollment.certificateChain[0]!);
    assert.deepEqual(
      daemon.events.flatMap((event) => (event.type === 'clone_suspected' ? [event.serial, event.sign] : [])),
      [serial, 'second_agent'],
    );
    const { entries } = await daemon.admin.listAudit({ subject: serial });
    assert.deepEqual(
      entries
        .filter(({ action }) => action === 'certificate.reused')
        .map((row) => JSON.parse(row.detailJson)),
      [{ device: deviceId, source: '127.0.0.1', sign: 'second_agent' }],
    );
    const { decision, reasons } = await daemon.admin.explain({ id: deviceId });
    assert.equal(decision, ExplainResponse_Decision.ALLOWED);
    assert.match(reasons.join(' '), /a second agent connected .* from 127\.0\.0\.1/);
    await daemon.admin.executeCapability({ deviceId, capability: 'echo' });
    assert.equal(first.states.filter(({ state }) => state === 'connected').length, 1);
  });
}

test('with quarantine on, a second agent shuts both agents out', async (t) => {
  const daemon = await TestDaemon.start(t, { cloning: 'quarantine' });
  const device = await makeDevice();
  const enrollment = await pair(daemon, device);
  const both = [new TestAgent(t, device, enrollment)];
  await both[0]!.connected();
  both.push(new TestAgent(t, device, enrollment));
  await both[0]!.until((states) =>
    states.some((each) => each.state === 'disconnected' && each.error.code === 'DEVICE_QUARANTINED'),
  );
  assert.equal(
    (await daemon.admin.getDevice({ id: device.identity.id })).device?.state,
    DeviceState.QUARANTINED,
  );
  await expectCode((await daemon.node(enrollment)).status({}), 'DEVICE_QUARANTINED');
});

test('an agent continues at once whenever another process on its machine has renewed, and reports no copy', async (t) => {
  const daemon = await TestDaemon.start(t);
  const device = await makeDevice();
  let enrollment = await pair(daemon, device);
  const agent = new TestAgent(t, device, enrollment, { retryMs: 60_000 });
  await agent.connected();
  for (let times = 2; times < 5; times += 1) {
    // Like `palyra renew`: request, store and use the certificate.
    const node = await daemon.node(enrollment);
    enrollment = await renewCertificate(device, enrollment, (proof) => node.renew(proof));
    await (await daemon.node(enrollment)).status({});
    await agent.connected(times);
  }
  assert.deepEqual(
    agent.states.filter(({ state }) => state === 'disconnected'),
    [],
  );
  assert.deepEqual(
    daemon.events.filter(({ type }) => type === 'clone_suspected'),
    [],
  );
});

test('an agent that competes with a copy of its device pauses longer after each recovery, and explains why', async (t) => {
  const daemon = await TestDaemon.start(t);
  const device = await makeDevice();
  const enrollment = await pair(daemon, device);
  const agent = new TestAgent(t, device, enrollment, { retryMs: 1 });
  const thief = { ...device, secrets: new MemorySecretStore() };
  const pauses = () =>
    agent.states.flatMap((each) =>
      each.state === 'disconnected' && each.error.code === 'CERTIFICATE_SUPERSEDED' ? [each] : [],
    );
  for (let turn = 0; turn <= 2; turn += 1) {
    await agent.connected(turn + 1);
    const connection = await dialPairing(enrollment.address, enrollment);
    daemon.closeAtEnd(connection);
    const stolen = await recoverCertificate(thief, enrollment, recoveryPeer(connection));
    await (await daemon.node(stolen)).status({});
    // The first time it reconnects at once, because its newest certificate may have been lost.
    await agent.until(() => pauses().length === turn);
  }
  const [first, second] = pauses();
  assert.ok(first!.retryInMs >= 64 && second!.retryInMs >= 128, `${first!.retryInMs}, ${second!.retryInMs}`);
  assert.match(first!.error.message, /another machine may have the keys of this device/);
  assert.equal(daemon.events.filter(({ type }) => type === 'clone_suspected').length, 1);
});
