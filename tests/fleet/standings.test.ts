// Each change of a standing at one daemon holds at another from the acknowledgement on, also without notifications: it is the
// read before each answer that finds it.

import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { createClient } from '@connectrpc/connect';
import { renewCertificate, requestPairing } from '@palyra/identity/device';
import { parsePairingCode } from '@palyra/identity/pairing';
import { AdminService, DeviceEventSchema, dialNode } from '@palyra/rpc';
import { expectCode } from '../testing/expect-code.ts';
import { FleetForTests, missingPostgres } from '../testing/fleet.ts';
import type { TestDaemon, TestDaemonOptions } from '../testing/running-daemon.ts';
import { makeDevice, pair } from '../testing/sample-device.ts';

describe('a standing that changes at one daemon', { skip: missingPostgres }, () => {
  const fleet = new FleetForTests('', { listens: false });

  async function two(t: TestContext, options: TestDaemonOptions = {}): Promise<[TestDaemon, TestDaemon]> {
    return (await fleet.start(t, 2, options)) as [TestDaemon, TestDaemon];
  }

  test('the operator role ends for the next call at another daemon, and begins', async (t) => {
    const [a, b] = await two(t);
    const device = await makeDevice();
    const enrollment = await pair(a, device, { operator: true });
    const { id } = device.identity;
    const connection = await dialNode(b.nodeAddress, enrollment);
    b.closeAtEnd(connection);
    const admin = createClient(AdminService, connection.transport);
    for (let round = 0; round < 5; round += 1) {
      await admin.getStatus({});
      await a.running.identity.setDeviceRole(id, 'device');
      await expectCode(admin.getStatus({}), 'CALLER_NOT_ALLOWED');
      await a.running.identity.setDeviceRole(id, 'operator');
    }
    await admin.getStatus({});
  });

  test('a revoked certificate is refused at another daemon', async (t) => {
    const [a, b] = await two(t);
    const device = await makeDevice();
    const enrollment = await pair(a, device);
    const node = await b.node(enrollment);
    await node.status({});
    const [certificate] = await a.running.identity.registry.certificatesOf(device.identity.id, 1);
    await a.running.identity.revokeCertificate(certificate!.serial, 'leaked');
    await expectCode(node.status({}), 'CERTIFICATE_REVOKED');
    await expectCode((await b.node(enrollment)).status({}), 'CERTIFICATE_REVOKED');
  });

  test('a certificate whose successor is used at one daemon is refused at another', async (t) => {
    const [a, b] = await two(t);
    const device = await makeDevice();
    const enrollment = await pair(a, device);
    const [before, standing] = [await a.node(enrollment), await b.node(enrollment)];
    await standing.status({});
    const renewed = await renewCertificate(device, enrollment, (proof) => before.renew(proof));
    await standing.status({});
    await (await a.node(renewed)).status({});
    // Its connection there may have been closed already, which a superseded certificate gets without a code.
    await assert.rejects(standing.status({}));
    const again = b.node(enrollment).then((node) => node.status({}));
    await expectCode(again, 'CERTIFICATE_SUPERSEDED');
    await (await b.node(renewed)).status({});
  });

  test('no message of a stream is taken at another daemon', async (t) => {
    const [a, b] = await two(t);
    const device = await makeDevice();
    const enrollment = await pair(a, device);
    const node = await b.node(enrollment);
    const next = Promise.withResolvers<void>();
    async function* sent() {
      const hello = { agentId: crypto.getRandomValues(new Uint8Array(16)) };
      yield create(DeviceEventSchema, { event: { case: 'hello', value: hello } });
      await next.promise;
      yield create(DeviceEventSchema, { event: { case: 'alive', value: {} } });
    }
    const received = node.events(sent())[Symbol.asyncIterator]();
    assert.equal((await received.next()).done, false);
    await a.admin.revokeDevice({ id: device.identity.id, reason: 'lost' });
    next.resolve();
    await expectCode(
      (async () => {
        while (!(await received.next()).done);
      })(),
      'DEVICE_REVOKED',
    );
  });

  test('a code that was used at one daemon cannot be used at another', async (t) => {
    const [a, b] = await two(t);
    const { code } = await a.admin.mintCode({});
    const ask = async (daemon: TestDaemon) =>
      requestPairing(await makeDevice(), await daemon.peer(), parsePairingCode(code), daemon.pairingAddress);
    await ask(b);
    // The daemon's answer does not tell a used code from a wrong one.
    await expectCode(ask(a), 'DAEMON_NOT_AUTHENTICATED');
  });

  test('a device that may have been copied is quarantined at all', async (t) => {
    const [a, b] = await two(t, { cloning: 'quarantine', limits: { supersededGraceMs: 1 } });
    const device = await makeDevice();
    const enrollment = await pair(a, device);
    const before = await a.node(enrollment);
    const renewed = await renewCertificate(device, enrollment, (proof) => before.renew(proof));
    const standing = await b.node(renewed);
    await standing.status({});
    // The replaced certificate turns up at the other daemon.
    await assert.rejects((await a.node(enrollment)).status({}));
    await expectCode(standing.status({}), 'DEVICE_QUARANTINED');
  });
});
