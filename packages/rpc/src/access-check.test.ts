import assert from 'node:assert/strict';
import test, { type TestContext } from 'node:test';
import type { StreamRequest, StreamResponse } from '@connectrpc/connect';
import { IdentityError } from '@palyra/identity';
import { accessCheck } from './access-check.ts';
import { NodeService } from './gen/palyra/node/v1/node_pb.js';
import { contextOf, type DevicePeer } from './peer.ts';

/** A request whose second message is still on its way. */
function halfRead() {
  const second = Promise.withResolvers<IteratorResult<number>>();
  const answers = [Promise.resolve({ done: false, value: 1 } as const), second.promise];
  const messages = { [Symbol.asyncIterator]: () => ({ next: () => answers.shift()! }) };
  return { second, messages };
}

function devicePeer(t: TestContext): { peer: DevicePeer; end: AbortController } {
  const end = new AbortController();
  const peer = {
    caller: 'device',
    transport: 'http2',
    epoch: () => 0,
    ended: end.signal,
    check: t.mock.fn(async () => ({ deviceId: 'id', serial: 'serial' })),
  } as unknown as DevicePeer;
  return { peer, end };
}

test('a message that fails to come after its connection was shut out is nobody’s unhandled rejection', async (t) => {
  const unhandled = t.mock.fn();
  process.on('unhandledRejection', unhandled);
  t.after(() => process.off('unhandledRejection', unhandled));
  const { second, messages } = halfRead();
  const { peer, end } = devicePeer(t);

  const handler = async ({ message }: StreamRequest): Promise<StreamResponse> => {
    const read = message[Symbol.asyncIterator]();
    assert.deepEqual(await read.next(), { done: false, value: 1 });
    // The handler is at work on the first message when the connection ends.
    end.abort(new IdentityError('DEVICE_REVOKED', 'This device was revoked.'));
    await assert.rejects(read.next(), { code: 'DEVICE_REVOKED' });
    second.reject(new Error('the socket is gone'));
    return { stream: true, message: noMessages() } as unknown as StreamResponse;
  };
  await accessCheck(() => {}).interceptor(handler as never)({
    stream: true,
    service: NodeService,
    method: NodeService.method.events,
    contextValues: contextOf(peer),
    message: messages,
  } as unknown as StreamRequest);
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(unhandled.mock.callCount(), 0);
});

async function* noMessages(): AsyncGenerator<never> {}
