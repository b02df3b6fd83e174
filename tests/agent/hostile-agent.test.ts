// A paired device that violates the protocol of its channel.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import test, { type TestContext } from 'node:test';
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { type DaemonEvent, type DeviceEvent, DeviceEventSchema } from '@palyra/rpc';
import { CapabilityFailure } from '@palyra/rpc/admin';
import { expectCode } from '../testing/expect-code.ts';
import { TestDaemon } from '../testing/running-daemon.ts';
import { makeDevice, pair } from '../testing/sample-device.ts';

type Event = NonNullable<MessageInitShape<typeof DeviceEventSchema>['event']>;

const hello = (lastSeq = 0n): Event => ({
  case: 'hello',
  value: { agentId: new Uint8Array(randomBytes(16)), lastSeq },
});
const failed = (callId: string, message: string): Event => ({
  case: 'result',
  value: { callId, outcome: { case: 'error', value: { failure: CapabilityFailure.FAILED, message } } },
});

async function channel(t: TestContext) {
  const daemon = await TestDaemon.start(t);
  const device = await makeDevice();
  const node = await daemon.node(await pair(daemon, device));
  return { daemon, device, node };
}

test('a result with an impossible call id ends the channel', async (t) => {
  const { node } = await channel(t);
  const welcomed = Promise.withResolvers<void>();
  async function* words(): AsyncGenerator<DeviceEvent> {
    yield create(DeviceEventSchema, { event: hello() });
    await welcomed.promise;
    yield create(DeviceEventSchema, { event: failed('X'.repeat(900 * 1024), '') });
    await new Promise(() => {});
  }
  const heard: DaemonEvent['event']['case'][] = [];
  const listen = async () => {
    for await (const { event } of node.events(words())) {
      heard.push(event.case);
      welcomed.resolve();
    }
  };
  await expectCode(listen(), 'MESSAGE_INVALID');
  assert.deepEqual(heard, ['welcome']);
});

test('a hello that claims more events than were sent is refused', async (t) => {
  const { node } = await channel(t);
  async function* words(): AsyncGenerator<DeviceEvent> {
    yield create(DeviceEventSchema, { event: hello(2n ** 64n - 1n) });
    await new Promise(() => {});
  }
  const events = node.events(words())[Symbol.asyncIterator]();
  await expectCode(events.next(), 'MESSAGE_INVALID');
});

test('an operator gets a device’s answer even if its text is cut within a character', async (t) => {
  const { daemon, device, node } = await channel(t);
  const asked = Promise.withResolvers<string>();
  async function* words(): AsyncGenerator<DeviceEvent> {
    yield create(DeviceEventSchema, { event: hello() });
    yield create(DeviceEventSchema, { event: failed(await asked.promise, `${'a'.repeat(499)}😀`) });
    await new Promise(() => {});
  }
  const events = node.events(words())[Symbol.asyncIterator]();
  await events.next();
  const answer = expectCode(
    daemon.admin.executeCapability({ deviceId: device.identity.id, capability: 'echo' }),
    'CAPABILITY_FAILED',
  );
  const { event } = (await events.next()).value!;
  assert.equal(event.case, 'execute');
  asked.resolve(event.value.callId);
  await answer;
});
