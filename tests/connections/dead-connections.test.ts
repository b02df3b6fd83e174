// An ended connection costs the daemon nothing, however it ended, and strangers cannot take the places of others.

import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import http2 from 'node:http2';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { promisify } from 'node:util';
import { create, toBinary } from '@bufbuild/protobuf';
import { createClient } from '@connectrpc/connect';
import {
  awaitPairing,
  type PairedEnrollment,
  recoverCertificate,
  requestPairing,
} from '@palyra/identity/device';
import { parsePairingCode } from '@palyra/identity/pairing';
import { dialNode, dialPairing, NodeService, PairingService, pairingPeer, recoveryPeer } from '@palyra/rpc';
import { DeviceKind } from '@palyra/rpc/admin';
import { bareSocket } from '../testing/bare-tls.ts';
import { builtProgram } from '../testing/built-program.ts';
import { begun, closed, connected } from '../testing/endings.ts';
import { MeasuredDaemon } from '../testing/measured-daemon.ts';
import { frame, rawCall } from '../testing/raw-call.ts';
import { makeDevice } from '../testing/sample-device.ts';
import { longestWaitMs, until } from '../testing/until.ts';

const skip = process.platform === 'linux' ? false : 'needs /proc and the addresses of 127.0.0.0/8';
const mib = 2 ** 20;
const run = promisify(execFile);
const addresses = [
  '127.0.0.2',
  '127.0.0.3',
  '127.0.0.4',
  '127.0.0.5',
  '127.0.0.6',
  '127.0.0.7',
  '127.0.0.8',
  '127.0.0.9',
];

/** Repeats the work, with several runs in parallel. */
async function many(count: number, lanes: number, work: (index: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  const lane = async () => {
    while (next < count) await work(next++);
  };
  await Promise.all(Array.from({ length: lanes }, lane));
}

/** The first call of a pairing, from this address. @throws when it is not served. */
async function open(daemon: MeasuredDaemon, localAddress: string): Promise<void> {
  const address = daemon.address('pairing');
  const socket = await bareSocket(address, { rejectUnauthorized: false, localAddress });
  const session = http2.connect(`https://${address}`, { createConnection: () => socket });
  const { input } = PairingService.method.open;
  const message = create(input, { version: 2, slot: Buffer.from('123'), clientKind: DeviceKind.CLI });
  const answer = await rawCall(session, `/${PairingService.typeName}/Open`, frame(toBinary(input, message)));
  assert.equal(answer.headers[':status'], '200');
  session.destroy();
}

test('after a thousand reset connections from eight addresses, every address pairs at once', {
  skip,
}, async (t) => {
  const daemon = await MeasuredDaemon.start(t);
  await daemon.pair();
  const [, port = ''] = daemon.address('pairing').split(':');
  const storm = async (perAddress: number): Promise<number> => {
    const script = join(import.meta.dirname, '../testing/reset_storm.py');
    const { stdout } = await run('/usr/bin/python3', [script, port, String(perAddress), ...addresses]);
    return Number(stdout);
  };
  await storm(40);
  const [descriptors, bytes] = [await daemon.descriptors(), await daemon.residentBytes()];
  const made = await storm(150);
  assert.ok(made > 500, `${made}`);
  await Promise.all(addresses.map((from) => open(daemon, from)));
  await daemon.pair();
  assert.ok((await daemon.settled(descriptors)) <= descriptors);
  const grown = (await daemon.residentBytes()) - bytes;
  t.diagnostic(`grew by ${(grown / mib).toFixed(1)} MiB`);
  assert.ok(grown < 80 * mib, `grew by ${grown} bytes`);
  await daemon.withoutConnections('pairing');
});

test('every ending on every listener leaves neither memory nor descriptors behind', { skip }, async (t) => {
  const daemon = await MeasuredDaemon.start(t, { strangerIdleMs: 2_000, quicIdleTimeoutMs: 5_000 });
  const endings = await daemon.endings();
  const listeners = new Set(endings.map(({ listener }) => listener));
  assert.deepEqual(listeners, new Set(['pairing', 'node', 'admin', 'console', 'publish', 'metrics', 'quic']));
  const failures = new Map<string, unknown>();
  const round = (times: number) =>
    many(times * endings.length, 16, async (index) => {
      const { listener, name, run } = endings[index % endings.length]!;
      await run().catch((error) => failures.set(`${listener}: ${name}`, error));
    });
  await round(10);
  const bytes = await daemon.residentBytes();
  const descriptors = await daemon.descriptors();
  await round(20);
  assert.deepEqual(failures, new Map());
  // Some of the first round's connections may not have ended when they were counted.
  const left = await daemon.settled(descriptors);
  assert.ok(left <= descriptors, `${left} descriptors, ${descriptors} before`);
  await daemon.withoutConnections('pairing', 'node', 'quic');
  const grown = (await daemon.residentBytes()) - bytes;
  t.diagnostic(`${20 * endings.length} connections, grew by ${(grown / mib).toFixed(1)} MiB`);
  assert.ok(grown < 80 * mib, `grew by ${grown} bytes`);
});

test('connections of a killed client end, on HTTP/2 and on QUIC', { skip }, async (t) => {
  // The client sends a keep-alive every 5 s while it lives.
  const daemon = await MeasuredDaemon.start(t, { quicIdleTimeoutMs: 15_000 });
  const enrollment = await daemon.pair();
  const client = spawn(
    process.execPath,
    [
      '--disable-warning=ExperimentalWarning',
      builtProgram(join(import.meta.dirname, '../testing/held-connections.ts')),
    ],
    { stdio: ['pipe', 'pipe', 'inherit'] },
  );
  t.after(() => client.kill('SIGKILL'));
  const base64 = (_key: string, value: unknown) =>
    value instanceof Uint8Array ? { base64: Buffer.from(value).toString('base64') } : value;
  client.stdin.end(JSON.stringify({ count: 8, enrollment: { ...enrollment } }, base64));
  await once(client.stdout, 'data');
  assert.equal(await daemon.connections('node'), 8);
  assert.equal(await daemon.connections('quic'), 8);
  client.kill('SIGKILL');
  await daemon.withoutConnections('node', 'quic');
});

/** Idle connections of strangers that are held from every hostile address for as long as the test runs. */
async function siege(t: TestContext, daemon: MeasuredDaemon, perAddress: number): Promise<void> {
  let isOver = false;
  t.after(() => {
    isOver = true;
  });
  const begin = async (from: string) => {
    const { raw } = await begun({ address: daemon.address('pairing'), from });
    t.after(() => raw.destroy());
    return raw;
  };
  const hold = async (from: string) => {
    while (!isOver) {
      const raw = await begin(from).catch(() => undefined);
      if (raw) await closed(raw.resume()).catch(() => {});
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  };
  for (const from of addresses) for (let count = 0; count < perAddress; count += 1) void hold(from);
  // The listener is nearly full, because a connection that makes room is counted in between.
  await until('a nearly full listener', async () => (await daemon.connections('pairing')) >= 36);
}

test('a paired device recovers and a new one pairs while strangers from eight addresses hold their full shares', {
  skip,
}, async (t) => {
  const daemon = await MeasuredDaemon.start(t, { pairingConnections: 40, strangersPerSource: 10 });
  const device = await makeDevice();
  const enrollment = await daemon.pair(device);
  await siege(t, daemon, 10);
  const connection = await dialPairing(daemon.address('pairing'), enrollment);
  const recovered = await recoverCertificate(device, enrollment, recoveryPeer(connection));
  connection.close();
  await useOf(recovered);
  await useOf(await daemon.pair());
});

async function useOf(enrollment: PairedEnrollment): Promise<void> {
  const connection = await dialNode(enrollment.nodeAddress, enrollment);
  await createClient(NodeService, connection.transport).status({});
  connection.close();
  await connection.closed;
}

test('strangers without a call are ended in seconds on the pairing listener; one that waits for the operator stays', {
  skip,
}, async (t) => {
  const daemon = await MeasuredDaemon.start(t, { strangerIdleMs: 1_000 });
  const device = await makeDevice();
  const { code } = await (await daemon.process.admin()).mintCode({});
  const waiting = await dialPairing(daemon.address('pairing'));
  t.after(() => waiting.destroy());
  const peer = pairingPeer(waiting);
  const pending = await requestPairing(device, peer, parsePairingCode(code), daemon.address('pairing'));
  const asked = Promise.withResolvers<void>();
  const paired = awaitPairing(device, peer, pending, {
    signal: AbortSignal.timeout(longestWaitMs),
    onState: () => asked.resolve(),
  });
  await asked.promise;
  for (let round = 0; round < 3; round += 1) {
    const { raw, secure } = await begun({ address: daemon.address('pairing') });
    secure.resume();
    await closed(raw);
  }
  assert.equal(await daemon.connections('pairing'), 1);
  await (await daemon.process.admin()).approvePairing({ id: pending.requestId });
  await useOf(await paired);
});

test('an idle connection to console, publish and metrics is ended in seconds', { skip }, async (t) => {
  const daemon = await MeasuredDaemon.start(t);
  const idle = ['console', 'publish', 'metrics'].map(async (listener) => {
    const raw = await connected({ address: daemon.address(listener) });
    await closed(raw.resume());
  });
  await Promise.all(idle);
});

test('twenty devices behind one address pair at the same time', { skip }, async (t) => {
  const daemon = await MeasuredDaemon.start(t);
  const admin = await daemon.process.admin();
  const devices = await Promise.all(
    Array.from({ length: 20 }, async () => {
      const device = await makeDevice();
      const { code } = await admin.mintCode({});
      const connection = await dialPairing(daemon.address('pairing'));
      t.after(() => connection.destroy());
      const peer = pairingPeer(connection);
      const pending = await requestPairing(device, peer, parsePairingCode(code), daemon.address('pairing'));
      return { device, peer, pending };
    }),
  );
  const paired = devices.map(({ device, peer, pending }) =>
    awaitPairing(device, peer, pending, { signal: AbortSignal.timeout(longestWaitMs) }),
  );
  for (const { pending } of devices) await admin.approvePairing({ id: pending.requestId });
  for (const each of await Promise.all(paired)) await useOf(each);
});
