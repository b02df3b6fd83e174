import assert from 'node:assert/strict';
import test, { type TestContext } from 'node:test';
import { Code, type StreamRequest, type StreamResponse } from '@connectrpc/connect';
import { IdentityError } from '@palyra/identity';
import { NodeService } from '../gen/palyra/node/v1/node_pb.js';
import { accessCheck } from './access-check.ts';
import { contextOf, type DevicePeer } from './peer.ts';

/** A request whose second message has not arrived yet. */
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
    upToDate: () => undefined,
    ended: end.signal,
    check: t.mock.fn(async () => ({ deviceId: 'id', serial: 'serial' })),
  } as unknown as DevicePeer;
  return { peer, end };
}

test('a message that fails after its connection was shut out causes no unhandled rejection', async (t) => {
  const unhandled = t.mock.fn();
  process.on('unhandledRejection', unhandled);
  t.after(() => process.off('unhandledRejection', unhandled));
  const { second, messages } = halfRead();
  const { peer, end } = devicePeer(t);

  const handled = Promise.withResolvers<void>();
  const handler = async ({ message }: StreamRequest): Promise<StreamResponse> => {
    const read = message[Symbol.asyncIterator]();
    assert.deepEqual(await read.next(), { done: false, value: 1 });
    // The handler is processing the first message when the connection ends.
    end.abort(new IdentityError('DEVICE_REVOKED', 'This device was revoked.'));
    await assert.rejects(read.next(), { code: 'DEVICE_REVOKED' });
    second.reject(new Error('the socket is gone'));
    handled.resolve();
    return { stream: true, message: noMessages() } as unknown as StreamResponse;
  };
  const call = accessCheck(() => {}).interceptor(handler as never)({
    stream: true,
    service: NodeService,
    method: NodeService.method.events,
    contextValues: contextOf(peer),
    message: messages,
  } as unknown as StreamRequest);
  await assert.rejects(call, { code: Code.Unauthenticated });
  await handled.promise;
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(unhandled.mock.callCount(), 0);
});

async function* noMessages(): AsyncGenerator<never> {}

test('a row of an embedding program never applies to the daemon’s own methods', async () => {
  const own = { access: { 'palyra.node.v1.NodeService/Events': 'operator' } } as const;
  const check = accessCheck(() => {}, own);
  const method = 'palyra.admin.v1.AdminService/SetDeviceRole';
  const values = contextOf({ caller: 'operator', at: 'console' });
  const events = check.unary('palyra.node.v1.NodeService/Events', values, () => 'let in');
  await assert.rejects(events, { code: Code.PermissionDenied });
  assert.equal(await check.unary(method, values, () => 'let in'), 'let in');
  await assert.rejects(
    check.unary('mine.v1.Hello/Greet', values, () => 'let in'),
    {
      code: Code.PermissionDenied,
    },
  );
});
