// Headers and trailers that are too large, over HTTP/2.

import assert from 'node:assert/strict';
import test from 'node:test';
import { flag, frameType, headerBlock, postHeaders } from '../../packages/rpc/src/testing/raw-http2.ts';
import {
  events,
  NGHTTP2_ENHANCE_YOUR_CALM,
  of,
  open,
  register,
  registerMessage,
  sendData,
  services,
  settled,
} from '../testing/device-calls.ts';
import { deviceListener } from '../testing/device-listener.ts';

for (const [what, headers] of [
  ['in one long field', [['x-long', 'y'.repeat(20_000)]]],
  ['in sixty fields', Array.from({ length: 58 }, (_, n) => [`x-${n}`, 'y'.repeat(300)])],
] as [string, [string, string][]][]) {
  test(`headers of more than 16 KiB reach no handler, even before the sender acknowledged the limit: ${what}`, async (t) => {
    const { routes, got } = services();
    const { connect } = await deviceListener(t, { routes });
    const client = await connect();
    const block = postHeaders(register, headers);
    client.send(frameType.headers, { stream: 1, payload: block.subarray(0, 16_384) });
    client.send(frameType.continuation, {
      stream: 1,
      flags: flag.endHeaders,
      payload: block.subarray(16_384),
    });
    sendData(client, 1, registerMessage(10), true);
    const reset = await client.frame(of(frameType.reset, 1));
    assert.equal(reset.payload.readUInt32BE(0), NGHTTP2_ENHANCE_YOUR_CALM);
    assert.deepEqual(got, []);
    open(client, 3);
    sendData(client, 3, registerMessage(20), true);
    await client.frame(of(frameType.headers, 3));
    assert.deepEqual(got, [20]);
  });
}

test('trailers of more than 16 KiB reset their call', async (t) => {
  const { routes, got } = services();
  const { connect } = await deviceListener(t, { routes });
  const client = await connect();
  open(client, 1, events);
  await settled(client);
  const block = headerBlock([['x-long', 'y'.repeat(17_000)]]);
  client.send(frameType.headers, { stream: 1, flags: flag.endStream, payload: block.subarray(0, 16_384) });
  client.send(frameType.continuation, { stream: 1, flags: flag.endHeaders, payload: block.subarray(16_384) });
  const reset = await client.frame(of(frameType.reset, 1));
  assert.equal(reset.payload.readUInt32BE(0), NGHTTP2_ENHANCE_YOUR_CALM);
  assert.deepEqual(got, []);
});
