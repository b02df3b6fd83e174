// grpc-go and grpcio with their defaults, in the harder cases: deadlines, cancelled calls, invalid
// messages, compression.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { DaemonEventSchema, DeviceEventSchema, NodeService } from '@palyra/rpc';
import { grpcGo, grpcio, type Outcomes, runForeign, type StreamEnd } from '../testing/foreign-clients.ts';
import { TestDaemon } from '../testing/running-daemon.ts';
import { makeDevice, pair } from '../testing/sample-device.ts';

const events = `/${NodeService.typeName}/${NodeService.method.events.name}`;
const status = `/${NodeService.typeName}/${NodeService.method.status.name}`;
const hello = Buffer.from(
  toBinary(
    DeviceEventSchema,
    create(DeviceEventSchema, { event: { case: 'hello', value: { agentId: new Uint8Array(16).fill(7) } } }),
  ),
).toString('hex');

/** The clients name codes differently: DeadlineExceeded and DEADLINE_EXCEEDED. */
const plainCode = (code: string) => code.replaceAll('_', '').toLowerCase();

for (const client of [grpcGo, grpcio]) {
  const { name, skip } = client;

  test(`${name} holds Events until its deadline, and gets an error for each mistake`, {
    skip,
  }, async (t) => {
    const daemon = await TestDaemon.start(t);
    const paired = await pair(daemon, await makeDevice());
    const stream = async (send: readonly string[], milliseconds: number) => {
      const setup = { kind: 'stream', method: events, send, milliseconds } as const;
      const end = await runForeign<StreamEnd>(client, daemon.nodeAddress, paired, setup);
      return { ...end, code: plainCode(end.code) };
    };
    const held = await stream([hello], 2_000);
    assert.equal(held.code, 'deadlineexceeded');
    const [welcome] = held.replies.map((each) => fromBinary(DaemonEventSchema, Buffer.from(each, 'hex')));
    assert.equal(welcome?.event.case, 'welcome');
    assert.equal((await stream([], 500)).code, 'deadlineexceeded');
    assert.equal((await stream([hello, hello], 60_000)).code, 'invalidargument');
    assert.equal((await stream(['ffffffff'], 60_000)).code, 'invalidargument');
  });

  test(`${name} with gzip is told that messages must be uncompressed`, { skip }, async (t) => {
    const daemon = await TestDaemon.start(t);
    const paired = await pair(daemon, await makeDevice());
    // Long enough for the client to compress it.
    const send = ['00'.repeat(2_000)];
    const setup = { kind: 'stream', method: status, send, milliseconds: 60_000, gzip: true } as const;
    const { code, message } = await runForeign<StreamEnd>(client, daemon.nodeAddress, paired, setup);
    assert.equal(plainCode(code), 'unimplemented');
    assert.match(message, /without compression|identity|Unimplemented/i);
  });

  test(`${name} calls while it begins and ends other calls, and no call fails`, { skip }, async (t) => {
    const daemon = await TestDaemon.start(t);
    const paired = await pair(daemon, await makeDevice());
    const setup = { kind: 'wave', method: status, cancelled: events, calls: 50 } as const;
    const outcomes = await runForeign<Outcomes>(client, daemon.nodeAddress, paired, setup);
    assert.deepEqual(outcomes, { calls: 50, failed: 0, failures: {} });
  });
}
