// The effect of `rotate-root finish --force` on devices that only the old root vouches for: their connections end on every
// transport, and no certificate lets them in again.

import assert from 'node:assert/strict';
import test from 'node:test';
import { create } from '@bufbuild/protobuf';
import { createClient } from '@connectrpc/connect';
import type { IdentityErrorCode } from '@palyra/identity';
import { certificatesToPem } from '@palyra/identity/certificate';
import { type PairedEnrollment, renewCertificate } from '@palyra/identity/device';
import {
  AdminService,
  type DaemonEvent,
  DeviceEventSchema,
  dialNode,
  fromConnectError,
  type NodeConnection,
  NodeService,
} from '@palyra/rpc';
import { Authority_Tier, type RotationStep, rotationSteps } from '@palyra/rpc/admin';
import { createQuic, dialNodeQuic } from '@palyra/transport-quic';
import { connectNode, credentialOf } from '../testing/bare-tls.ts';
import { expectCode } from '../testing/expect-code.ts';
import { day, HeldClock } from '../testing/held-clock.ts';
import { forgedIssuing } from '../testing/issuing-key.ts';
import { TestDaemon } from '../testing/running-daemon.ts';
import { makeDevice, pair } from '../testing/sample-device.ts';

const quic = createQuic();
const dials = {
  http2: (enrollment: PairedEnrollment) => dialNode(enrollment.nodeAddress, enrollment),
  quic: (enrollment: PairedEnrollment) => dialNodeQuic(quic, enrollment),
};
const transports = ['http2', 'quic'] as const;

const step = (daemon: TestDaemon, name: RotationStep) =>
  daemon.admin.rotateRoot({ step: rotationSteps.toWire(name), force: true });

/** An open call, and the code with which it ends. */
async function standing({
  transport,
}: NodeConnection): Promise<{ readonly ended: Promise<IdentityErrorCode> }> {
  const over = Promise.withResolvers<void>();
  async function* sent() {
    const hello = { agentId: crypto.getRandomValues(new Uint8Array(16)) };
    yield create(DeviceEventSchema, { event: { case: 'hello', value: hello } });
    await over.promise;
  }
  const received = createClient(NodeService, transport).events(sent())[Symbol.asyncIterator]();
  const { value } = (await received.next()) as { value: DaemonEvent };
  assert.equal(value.event.case, 'welcome');
  const ended = received.next().then(
    () => assert.fail('the stream continued'),
    (error) => {
      over.resolve();
      return fromConnectError(error).code;
    },
  );
  ended.catch(() => {});
  return { ended };
}

/** A daemon whose new root signs, and devices of the old one. */
async function rotated(t: test.TestContext) {
  const daemon = await TestDaemon.start(t);
  await step(daemon, 'prepare');
  const device = await makeDevice();
  const first = await pair(daemon, device);
  const operator = await pair(daemon, await makeDevice(), { operator: true });
  const other = await pair(daemon, await makeDevice());
  await step(daemon, 'activate');
  const connect = async (transport: 'http2' | 'quic', enrollment: PairedEnrollment) => {
    const connection = await dials[transport](enrollment);
    daemon.closeAtEnd(connection);
    return connection;
  };
  const status = async (transport: 'http2' | 'quic', enrollment: PairedEnrollment) =>
    createClient(NodeService, (await connect(transport, enrollment)).transport).status({});
  return { daemon, device, first, operator, other, connect, status };
}

test('when a root is retired, its live connections end on both transports, and those of the new root stay', async (t) => {
  const { daemon, first, operator, other, connect, status } = await rotated(t);
  const survivor = await pair(daemon, await makeDevice());
  const kept = await Promise.all(transports.map((transport) => connect(transport, survivor)));
  const lost = [
    await connect('http2', first),
    await connect('quic', other),
    await connect('http2', operator),
    await connect('quic', operator),
  ];
  const [one, two] = [await standing(lost[0]!), await standing(lost[1]!)];
  const remote = lost.slice(2).map(({ transport }) => createClient(AdminService, transport));
  for (const admin of remote) await admin.listDevices({});
  for (const { transport } of kept) await createClient(NodeService, transport).status({});

  // Only the registry has changed: neither listener has a new certificate or other roots yet.
  await daemon.running.identity.rootRotation.finish(true);
  assert.equal(await one.ended, 'AUTHORITY_RETIRED');
  assert.equal(await two.ended, 'AUTHORITY_RETIRED');
  for (const { closed } of lost) await closed;
  for (const admin of remote) await assert.rejects(admin.listDevices({}));
  for (const { transport } of kept) await createClient(NodeService, transport).status({});
  for (const transport of transports)
    for (const enrollment of [first, other, operator])
      await expectCode(status(transport, enrollment), 'AUTHORITY_RETIRED');
  assert.ok(daemon.events.some(({ type }) => type === 'authority_retired'));
});

test('a device of a retired root is refused from the commit on, even on an older connection', async (t) => {
  const { daemon, first, connect } = await rotated(t);
  const { transport } = await connect('http2', first);
  const node = createClient(NodeService, transport);
  await node.status({});
  const { fingerprint } = (
    await daemon.running.identity.registry.certificatesOf((await node.status({})).deviceId as never, 1)
  )[0]!;
  await daemon.running.identity.authenticate(fingerprint);
  await daemon.running.identity.rootRotation.finish(true);
  await expectCode(daemon.running.identity.authenticate(fingerprint), 'AUTHORITY_RETIRED');
  await expectCode(daemon.running.identity.admit(fingerprint), 'AUTHORITY_RETIRED');
});

test('a device of a retired root does not come back with a forged issuing CA, expired or not', async (t) => {
  const { daemon, first, device, status } = await rotated(t);
  await status('http2', first);
  await step(daemon, 'finish');
  const { cert, key } = credentialOf(first);
  const leaf = `${cert.slice(0, cert.indexOf('-----END'))}-----END CERTIFICATE-----\n`;
  const trusted = await daemon.admin.getAuthority({});
  const now = trusted.authorities.filter(({ active }) => active).map(({ certificate }) => certificate);
  for (const root of trusted.authorities.filter(({ tier }) => tier === Authority_Tier.ROOT))
    for (const days of [-2, 2]) {
      const issuing = await forgedIssuing(first.certificateChain[1]!, root.certificate, days);
      for (const rest of [[issuing], [issuing, first.certificateChain[1]!], [issuing, ...now]]) {
        const connection = await connectNode(daemon, { cert: leaf + certificatesToPem(rest), key });
        await assert.rejects(connection.node.register({ platform: 'forged', capabilities: [] }));
        await connection.closed;
      }
    }
  const { device: seen } = await daemon.admin.getDevice({ id: device.identity.id });
  assert.notEqual(seen?.platform, 'forged');
});

test('a device that has renewed under the new root is unaffected when the old root is retired', async (t) => {
  const { daemon, device, first, status } = await rotated(t);
  const node = await daemon.node(first);
  const renewed = await renewCertificate(device, first, (proof) => node.renew(proof));
  await status('http2', renewed);
  await step(daemon, 'finish');
  for (const transport of transports) await status(transport, renewed);
  for (const transport of transports) await assert.rejects(status(transport, first));
});

test('the scheduled replacement of an issuing CA retires no device', async (t) => {
  // TLS uses the real time, which is the time at the end of the test.
  const clock = new HeldClock(Date.now() - 61 * day);
  const daemon = await TestDaemon.start(t, { clock, limits: { deviceCertificateLifeMs: 30 * day } });
  const { registry } = daemon.running.identity;
  clock.advance(50 * day);
  const enrollment = await pair(daemon, await makeDevice({ clock }));
  clock.advance(11 * day);
  await daemon.running.tick();
  const states = (await registry.authorities())
    .filter(({ tier }) => tier === 'issuing')
    .map(({ state }) => state);
  assert.deepEqual(states.sort(), ['active', 'trusted']);
  await (await daemon.node(enrollment)).status({});
  await (await daemon.node(await pair(daemon, await makeDevice({ clock })))).status({});
});
