// Calls of a device, written frame by frame.

import http2 from 'node:http2';
import { toBinary } from '@bufbuild/protobuf';
import type { ConnectRouter } from '@connectrpc/connect';
import { NodeService } from '@palyra/rpc';
import {
  flag,
  frameType,
  postHeaders,
  type RawFrame,
  type RawHttp2,
} from '../../packages/rpc/src/testing/raw-http2.ts';
import { frame } from './raw-call.ts';

export const register = `/${NodeService.typeName}/Register`;
export const events = `/${NodeService.typeName}/Events`;
export const { NGHTTP2_ENHANCE_YOUR_CALM, NGHTTP2_NO_ERROR } = http2.constants;
/** The bytes that a stream may carry before any grant (RFC 9113 6.9.2). */
export const firstWindow = 65_535;
export const mib = 2 ** 20;

/** A service whose handlers report their input. */
export function services() {
  const got: number[] = [];
  const routes = (router: ConnectRouter) =>
    router.service(NodeService, {
      register: ({ platform }) => {
        got.push(platform.length);
        return {};
      },
      async *events(messages) {
        yield {};
        for await (const _ of messages) got.push(1);
      },
    });
  return { got, routes };
}

export const registerMessage = (size: number) =>
  frame(
    toBinary(NodeService.method.register.input, {
      $typeName: NodeService.method.register.input.typeName,
      platform: 'x'.repeat(size),
      capabilities: [],
    } as never),
  );

export const open = (client: RawHttp2, stream: number, path = register, more: [string, string][] = []) =>
  client.send(frameType.headers, { stream, flags: flag.endHeaders, payload: postHeaders(path, more) });

/** Sends the bytes in frames of the largest size. */
export function sendData(client: RawHttp2, stream: number, bytes: Buffer, end = false): void {
  for (let at = 0; at < bytes.length; at += 16_384) {
    const last = end && at + 16_384 >= bytes.length;
    client.send(frameType.data, {
      stream,
      payload: bytes.subarray(at, at + 16_384),
      flags: last ? flag.endStream : 0,
    });
  }
}

export const granted = (client: RawHttp2, stream: number) =>
  client.frames
    .filter((each) => each.type === frameType.windowUpdate && each.stream === stream)
    .reduce((sum, { payload }) => sum + payload.readUInt32BE(0), 0);

export const of = (type: number, stream: number) => (each: RawFrame) =>
  each.type === type && each.stream === stream;

/** Resolves when the peer has processed everything that was sent before. */
export async function settled(client: RawHttp2): Promise<void> {
  const payload = Buffer.from(String(Math.random()).padEnd(8).slice(-8));
  client.send(frameType.ping, { payload });
  await client.frame(
    ({ type, flags, payload: back }) => type === frameType.ping && flags === flag.ack && back.equals(payload),
  );
}
