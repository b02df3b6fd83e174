// Tests for every listener for devices (rpc/src/connections/device-listener.ts), on every transport.

import assert from 'node:assert/strict';
import test, { type TestContext } from 'node:test';
import { createClient } from '@connectrpc/connect';
import { awaitPairing, type PairedEnrollment, requestPairing } from '@palyra/identity/device';
import { parsePairingCode } from '@palyra/identity/pairing';
import { systemClock } from '@palyra/identity/values';
import { dialNode, type NodeConnection } from '@palyra/rpc';
import {
  type DeviceListener,
  type DeviceTrust,
  defaultHttp2Limits,
  Http2Listener,
  healthRoutes,
  type ListenerEvent,
  type ListenerOptions,
} from '@palyra/rpc/transport';
import { createQuic, dialNodeQuic, QuicDeviceListener } from '@palyra/transport-quic';
import { ChannelDeviceListener, dialNodeWeb } from '@palyra/transport-websocket';
import { Health } from '../../packages/rpc/src/gen/grpc/health/v1/health_pb.js';
import { expectCode } from '../testing/expect-code.ts';
import { openIdentity, peerOf } from '../testing/in-process.ts';
import { makeDevice } from '../testing/sample-device.ts';
import { longestWaitMs, until, within } from '../testing/until.ts';

interface Patience {
  readonly handshakeTimeoutMs: number;
}

interface Transport {
  listen(options: ListenerOptions & { readonly devices: DeviceTrust }): Promise<DeviceListener>;
  dial(enrollment: PairedEnrollment, address: string, limits?: Patience): Promise<NodeConnection>;
}

const transports: Readonly<Record<string, Transport>> = {
  'HTTP/2': {
    listen: (options) => Http2Listener.listen(options),
    dial: (enrollment, address) => dialNode(address, enrollment),
  },
  QUIC: {
    listen: (options) =>
      QuicDeviceListener.listen({ ...options, messageBytes: defaultHttp2Limits.messageBytes }),
    dial: (enrollment, address, limits) =>
      dialNodeQuic(createQuic(), { ...enrollment, quicAddress: address }, limits),
  },
  channel: {
    listen: (options) =>
      ChannelDeviceListener.listen({ ...options, messageBytes: defaultHttp2Limits.messageBytes }),
    dial: (enrollment, address, limits) =>
      dialNodeWeb({ ...enrollment, webAddress: `ws://${address}/channel` }, { ...(limits && { limits }) }),
  },
};

const credentialFor = { dnsNames: [], ipAddresses: ['127.0.0.1'] };

/** A listener of this transport, and a paired device that may call it. */
async function start(t: TestContext, transport: Transport, onEvent: (event: ListenerEvent) => void) {
  const identity = await openIdentity(t);
  const device = await makeDevice();
  const { code } = await identity.desk.mint({ kind: 'typed', address: 'localhost:1' });
  const pending = await requestPairing(device, peerOf(identity), parsePairingCode(code), 'localhost:1');
  await identity.desk.approve(pending.requestId);
  const signal = AbortSignal.timeout(longestWaitMs);
  const enrollment = await awaitPairing(device, peerOf(identity), pending, { signal });
  const failures: unknown[] = [];
  const listener = await transport.listen({
    host: '127.0.0.1',
    port: 0,
    credential: await identity.issueServerCredential(credentialFor),
    devices: { trustBundle: identity.trustBundle, authenticator: identity },
    routes: healthRoutes(new AbortController().signal),
    clock: systemClock,
    onEvent,
    onInternal: (error) => failures.push(error),
  });
  t.after(() => listener.close(AbortSignal.abort()));
  t.after(identity.registry.enforce((event) => listener.apply(event)));
  const address = `127.0.0.1:${listener.port}`;
  const dial = async (limits?: Patience) => {
    const connection = await transport.dial(enrollment, address, limits);
    t.after(() => connection.destroy());
    return { connection, health: createClient(Health, connection.transport) };
  };
  return { identity, device, listener, dial, failures };
}

for (const [name, transport] of Object.entries(transports)) {
  test(`${name}: a paired device is served, and counted while it is connected`, async (t) => {
    const events: ListenerEvent[] = [];
    const { listener, dial } = await start(t, transport, (event) => events.push(event));
    const { connection, health } = await dial();
    await health.check({});
    assert.equal(listener.connections, 1);
    assert.deepEqual(events, ['accepted']);
    connection.destroy();
    await until('the connection is forgotten', () => listener.connections === 0);
  });

  test(`${name}: a revocation closes the connection, and refuses the next one with its code`, async (t) => {
    const events: ListenerEvent[] = [];
    const { identity, device, listener, dial } = await start(t, transport, (event) => events.push(event));
    const { connection, health } = await dial();
    await health.check({});
    await identity.revokeDevice(device.identity.id, 'lost');
    await within('the connection is closed', connection.closed);
    await until('the connection is forgotten', () => listener.connections === 0);
    const refused = async () => (await dial()).health.check({});
    await expectCode(refused(), 'DEVICE_REVOKED');
    await until('the refusal is counted', () => events.includes('refused_standing'));
  });

  test(`${name}: after a new certificate the listener has the same port, and serves`, async (t) => {
    const { identity, listener, dial } = await start(t, transport, () => {});
    const { port } = listener;
    await listener.swapCredential(await identity.issueServerCredential(credentialFor), identity.trustBundle);
    assert.equal(listener.port, port);
    await (await dial()).health.check({});
  });

  test(`${name}: a connection counter that fails does not affect the connection`, async (t) => {
    const careless = new Error('careless');
    const { dial, failures } = await start(t, transport, () => {
      throw careless;
    });
    await (await dial()).health.check({});
    assert.ok(failures.includes(careless));
  });

  test(`${name}: a listener can be closed twice, and accepts no connections afterwards`, async (t) => {
    const { listener, dial } = await start(t, transport, () => {});
    const { connection } = await dial();
    await listener.close(AbortSignal.abort());
    await listener.close(AbortSignal.abort());
    await within('the connection is closed', connection.closed);
    // Over QUIC a closed port gives no answer.
    await expectCode(dial({ handshakeTimeoutMs: 500 }), 'UNREACHABLE');
  });
}
