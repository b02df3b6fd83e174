// The effect of a revocation on connections in use, on every transport: they end with the reason, and from the
// commit on the daemon accepts nothing from the device, however early it was sent.

import assert from 'node:assert/strict';
import test, { type TestContext } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { createClient } from '@connectrpc/connect';
import type { IdentityErrorCode } from '@palyra/identity';
import { type PairedEnrollment, renewCertificate } from '@palyra/identity/device';
import type { RegistryEvent } from '@palyra/identity/registry';
import {
  type DaemonEvent,
  DeviceEventSchema,
  dialNode,
  fromConnectError,
  type NodeConnection,
  NodeService,
} from '@palyra/rpc';
import { Http2Listener } from '@palyra/rpc/transport';
import { createQuic, dialNodeQuic, QuicDeviceListener } from '@palyra/transport-quic';
import { dialNodeWeb } from '@palyra/transport-websocket';
import { DeviceChannels } from '../../packages/daemon/src/channels/device-channels.ts';
import { DaemonMetrics } from '../../packages/daemon/src/metrics/metrics.ts';
import { Notice } from '../../packages/daemon/src/notices/notice.ts';
import { expectCode } from '../testing/expect-code.ts';
import { day, HeldClock } from '../testing/held-clock.ts';
import { type HeldPath, heldTcpPath, UdpPath } from '../testing/held-path.ts';
import { TestDaemon, type TestDaemonOptions } from '../testing/running-daemon.ts';
import { makeDevice, pair, type SampleDevice } from '../testing/sample-device.ts';
import { until } from '../testing/until.ts';

const quic = createQuic();
const transports = ['http2', 'quic', 'websocket'] as const;
type Transport = (typeof transports)[number];

const startDaemon = (t: TestContext, options: TestDaemonOptions = {}) =>
  TestDaemon.start(t, { web: { port: 0 }, ...options });

interface Enrolled {
  readonly device: SampleDevice;
  readonly enrollment: PairedEnrollment;
}

async function enroll(daemon: TestDaemon, clock?: HeldClock): Promise<Enrolled> {
  const device = await makeDevice(clock && { clock });
  return { device, enrollment: await pair(daemon, device) };
}

async function dial(daemon: TestDaemon, transport: Transport, enrollment: PairedEnrollment) {
  const dials = {
    http2: () => dialNode(enrollment.nodeAddress, enrollment),
    quic: () => dialNodeQuic(quic, enrollment),
    websocket: () => dialNodeWeb({ webAddress: daemon.webAddress, ...enrollment }),
  };
  const connection = await dials[transport]();
  daemon.closeAtEnd(connection);
  return new Live(connection);
}

/** A connection with an open stream, like an agent's. */
class Live {
  readonly node;
  readonly closed: Promise<unknown>;
  readonly #stop = new AbortController();
  readonly #ask = Promise.withResolvers<void>();

  constructor(connection: NodeConnection) {
    this.node = createClient(NodeService, connection.transport);
    this.closed = connection.closed;
  }

  /** Resolves when the daemon has answered on the stream; `ended` resolves with the code that ends it. */
  async openStream(): Promise<{ readonly ended: Promise<IdentityErrorCode> }> {
    const ask = this.#ask.promise;
    async function* sent() {
      const hello = { agentId: crypto.getRandomValues(new Uint8Array(16)) };
      yield create(DeviceEventSchema, { event: { case: 'hello', value: hello } });
      await ask;
    }
    const received = this.node.events(sent(), { signal: this.#stop.signal })[Symbol.asyncIterator]();
    const { value } = (await received.next()) as { value: DaemonEvent };
    assert.equal(value.event.case, 'welcome');
    const ended = received.next().then(
      ({ value: more }) => assert.fail(`the stream went on: ${more?.event.case}`),
      (error) => fromConnectError(error).code,
    );
    ended.catch(() => {});
    return { ended };
  }
}

/** Every event that shuts a connected device out. */
const causes: {
  readonly what: string;
  readonly code: IdentityErrorCode;
  readonly happen: (daemon: TestDaemon, live: Live, enrolled: Enrolled, clock: HeldClock) => Promise<void>;
}[] = [
  {
    what: 'its device is revoked',
    code: 'DEVICE_REVOKED',
    happen: async (daemon, _live, { device }) => {
      await daemon.admin.revokeDevice({ id: device.identity.id, reason: 'lost' });
    },
  },
  {
    what: 'its certificate is revoked',
    code: 'CERTIFICATE_REVOKED',
    happen: async (daemon, live) => {
      const { serial } = await live.node.status({});
      await daemon.admin.revokeCertificate({ serial, reason: 'copied' });
    },
  },
  {
    what: 'its certificate is superseded by the use of the next one',
    code: 'CERTIFICATE_SUPERSEDED',
    happen: async (daemon, live, { device, enrollment }) => {
      const next = await renewCertificate(device, enrollment, (proof) => live.node.renew(proof));
      await (await daemon.node(next)).status({});
    },
  },
  {
    what: 'its certificate expires',
    code: 'CERTIFICATE_EXPIRED',
    happen: async (daemon, _live, _enrolled, clock) => {
      clock.advance(day);
      await daemon.running.tick();
    },
  },
];

for (const transport of transports) {
  for (const { what, code, happen } of causes) {
    test(`over ${transport}, when ${what}, its streams and its connection end with ${code}`, async (t) => {
      const clock = new HeldClock();
      const daemon = await startDaemon(t, { clock });
      const enrolled = await enroll(daemon, clock);
      const live = await dial(daemon, transport, enrolled.enrollment);
      const stream = await live.openStream();
      await happen(daemon, live, enrolled, clock);
      assert.equal(await stream.ended, code);
      await live.closed;
      await assert.rejects(live.node.status({}));
      // A new connection gets the same answer on every transport.
      for (const again of transports) {
        const { node } = await dial(daemon, again, enrolled.enrollment);
        await expectCode(node.status({}), code);
      }
    });
  }

  test(`over ${transport}, calls that were sent before the commit and arrive after it have no effect`, async (t) => {
    const daemon = await startDaemon(t);
    const { device, enrollment } = await enroll(daemon);
    const path = await pathTo(t, transport, daemon, enrollment);
    const live = await dial(daemon, transport, through(transport, path, enrollment));
    await live.node.register({ platform: 'before', capabilities: [] });
    path.hold();
    const calls = Array.from({ length: 50 }, (_, number) =>
      live.node.register({ platform: `after ${number}`, capabilities: [] }),
    );
    const outcomes = Promise.allSettled(calls);
    await until('the calls are in flight', () => path.heldBytes > 1000);
    await daemon.admin.revokeDevice({ id: device.identity.id, reason: 'lost' });
    path.release();
    for (const outcome of await outcomes) assert.equal(outcome.status, 'rejected');
    await live.closed;
    assert.equal((await daemon.admin.getDevice({ id: device.identity.id })).device?.platform, 'before');
  });

  test(`over ${transport}, no call of a device that calls without a pause succeeds from the commit on`, async (t) => {
    const daemon = await startDaemon(t);
    const { device, enrollment } = await enroll(daemon);
    const live = await dial(daemon, transport, enrollment);
    const committed = commitOf(t, daemon, 'device_revoked');
    let answered = 0;
    const lane = async () => {
      for (;;) {
        const sentAfter = committed.seen;
        try {
          await live.node.register({ platform: `call ${answered}`, capabilities: [] });
        } catch (error) {
          return fromConnectError(error).code;
        }
        assert.equal(sentAfter, false, 'a call that was sent after the commit was answered');
        answered += 1;
      }
    };
    const lanes = Promise.all(Array.from({ length: 16 }, lane));
    await until('a hundred answers', () => answered > 100);
    await daemon.admin.revokeDevice({ id: device.identity.id, reason: 'lost' });
    const codes = new Set(await lanes);
    await live.closed;
    for (const code of codes) assert.ok(['DEVICE_REVOKED', 'UNREACHABLE'].includes(code), code);
    // A device without a running call at that moment learns the reason from its next connection.
    await expectCode((await dial(daemon, transport, enrollment)).node.status({}), 'DEVICE_REVOKED');
    // Calls in progress at the commit had no effect either.
    const { platform } = (await daemon.admin.getDevice({ id: device.identity.id })).device!;
    assert.equal(platform, await committed.platform);
  });
}

test('a revocation of one device leaves the others on both transports undisturbed', async (t) => {
  const daemon = await startDaemon(t);
  const lost = await enroll(daemon);
  const others = await Promise.all(
    transports.flatMap((transport) =>
      Array.from({ length: 3 }, async () => {
        const live = await dial(daemon, transport, (await enroll(daemon)).enrollment);
        let ended = false;
        const end = () => {
          ended = true;
        };
        (await live.openStream()).ended.then(end, end);
        return { live, hasEnded: () => ended };
      }),
    ),
  );
  const own = await Promise.all(transports.map((transport) => dial(daemon, transport, lost.enrollment)));
  await Promise.all(own.map(({ node }) => node.status({})));
  const calls = others.flatMap(({ live }) => Array.from({ length: 20 }, () => live.node.status({})));
  await daemon.admin.revokeDevice({ id: lost.device.identity.id, reason: 'lost' });
  await Promise.all(own.map(({ closed }) => closed));
  await Promise.all(calls);
  for (const { live, hasEnded } of others) {
    await live.node.status({});
    assert.equal(hasEnded(), false);
  }
});

test('one certificate of a device is revoked and the other keeps working', async (t) => {
  const daemon = await startDaemon(t);
  const { device, enrollment } = await enroll(daemon);
  const first = await dial(daemon, 'quic', enrollment);
  const { serial } = await first.node.status({});
  const next = await renewCertificate(device, enrollment, (proof) => first.node.renew(proof));
  // The leaked certificate is the one that was issued but not used yet.
  const { certificates } = await daemon.admin.getDevice({ id: device.identity.id });
  const unused = certificates.find((each) => each.serial !== serial)!;
  await daemon.admin.revokeCertificate({ serial: unused.serial, reason: 'copied' });
  await first.node.status({});
  for (const transport of transports) {
    const { node } = await dial(daemon, transport, next);
    await expectCode(node.status({}), 'CERTIFICATE_REVOKED');
  }
  await first.node.status({});
});

const careless = new Error('careless');
const throwing = () => {
  throw careless;
};

/** Every listener for changes in the daemon. Each one fails in turn. */
const failures: readonly {
  readonly what: string;
  readonly fail: (t: TestContext) => { readonly onEvent?: () => void };
}[] = [
  {
    what: 'the notice',
    fail: (t) => {
      t.mock.method(Notice.prototype, 'take', throwing);
      return {};
    },
  },
  {
    what: 'the metrics',
    fail: (t) => {
      for (const method of ['countRegistry', 'countListener'] as const)
        t.mock.method(DaemonMetrics.prototype, method, throwing);
      return {};
    },
  },
  { what: "the program's own listener", fail: () => ({ onEvent: throwing }) },
  {
    what: "the program's own asynchronous listener",
    fail: () => ({ onEvent: async () => throwing() }),
  },
  {
    what: 'the closing of channels',
    fail: (t) => {
      t.mock.method(DeviceChannels.prototype, 'apply', throwing);
      return {};
    },
  },
];

for (const { what, fail } of failures) {
  test(`when ${what} fails at a revocation, no connection of the device stays open, and the failure is reported`, async (t) => {
    const errors: unknown[] = [];
    const daemon = await startDaemon(t, { ...fail(t), onError: (error) => errors.push(error) });
    const { device, enrollment } = await enroll(daemon);
    const live = await Promise.all(transports.map((transport) => dial(daemon, transport, enrollment)));
    await Promise.all(live.map(({ node }) => node.status({})));
    const { ended } = await live[0]!.openStream();
    errors.splice(0);
    await daemon.admin.revokeDevice({ id: device.identity.id, reason: 'lost' });
    await Promise.all(live.map(({ closed }) => closed));
    assert.equal(await ended, 'DEVICE_REVOKED');
    assert.ok(errors.includes(careless));
    for (const transport of transports) {
      await expectCode((await dial(daemon, transport, enrollment)).node.status({}), 'DEVICE_REVOKED');
    }
  });
}

for (const [broken, whole, Listener] of [
  ['http2', 'quic', Http2Listener],
  ['quic', 'http2', QuicDeviceListener],
] as const) {
  test(`when closing over ${broken} fails at a revocation, the connections over ${whole} are closed nevertheless`, async (t) => {
    const errors: unknown[] = [];
    const daemon = await startDaemon(t, { onError: (error) => errors.push(error) });
    const { device, enrollment } = await enroll(daemon);
    const live = await dial(daemon, whole, enrollment);
    await live.node.status({});
    t.mock.method(Listener.prototype, 'apply', throwing);
    await daemon.admin.revokeDevice({ id: device.identity.id, reason: 'lost' });
    await live.closed;
    assert.ok(errors.includes(careless));
  });
}

/** The commit of the first event of this type, as seen in the daemon's own process right after it is durable. */
function commitOf(t: TestContext, daemon: TestDaemon, type: RegistryEvent['type']) {
  const { registry } = daemon.running.identity;
  const platform = Promise.withResolvers<string>();
  const commit = { seen: false, platform: platform.promise };
  const unsubscribe = registry.subscribe((event) => {
    if (event.type !== type || !('deviceId' in event)) return;
    commit.seen = true;
    registry.device(event.deviceId).then((device) => platform.resolve(device?.platform ?? ''));
  });
  t.after(unsubscribe);
  return commit;
}

function pathTo(
  t: TestContext,
  transport: Transport,
  daemon: TestDaemon,
  enrollment: PairedEnrollment,
): Promise<HeldPath> {
  switch (transport) {
    case 'http2':
      return heldTcpPath(t, enrollment.nodeAddress);
    case 'quic':
      return UdpPath.to(t, enrollment.quicAddress!);
    case 'websocket':
      return heldTcpPath(t, new URL(daemon.webAddress).host);
  }
}

function through(transport: Transport, path: HeldPath, enrollment: PairedEnrollment): PairedEnrollment {
  switch (transport) {
    case 'http2':
      return { ...enrollment, nodeAddress: path.address };
    case 'quic':
      return { ...enrollment, quicAddress: path.address };
    case 'websocket':
      return { ...enrollment, webAddress: `ws://${path.address}/channel` };
  }
}
