// What a plain gRPC client learns when its device is shut out during calls: each running call,
// at any stage, ends with a gRPC status that carries the code.

import assert from 'node:assert/strict';
import test, { type TestContext } from 'node:test';
import { create, type DescMessage, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { findTrailerError } from '@connectrpc/connect/protocol-grpc';
import { certificatesToPem } from '@palyra/identity/certificate';
import type { PairedEnrollment } from '@palyra/identity/device';
import { AdminService, DeviceEventSchema, fromConnectError, NodeService } from '@palyra/rpc';
import type { ByteStream } from '@palyra/rpc/portable';
import { createQuic } from '@palyra/transport-quic';
import { encodeFrame, FrameParser } from '../../packages/rpc/src/calls/frame.ts';
import { connectNode, credentialOf } from '../testing/bare-tls.ts';
import { frame } from '../testing/raw-call.ts';
import { TestDaemon } from '../testing/running-daemon.ts';
import { makeDevice, pair } from '../testing/sample-device.ts';

/** The trailers of a call, or its headers if it has no trailers. */
type Trailers = Headers;

interface BareClient {
  /** @param body the sent part of the body. @param isWhole whether this is the whole body. */
  begin(method: string, body: Uint8Array, isWhole: boolean): Promise<{ readonly ended: Promise<Trailers> }>;
}

const grpc = { 'content-type': 'application/grpc+proto', te: 'trailers' };

async function overHttp2(daemon: TestDaemon, enrollment: PairedEnrollment): Promise<BareClient> {
  const { session } = await connectNode(daemon, credentialOf(enrollment));
  return {
    async begin(method, body, isWhole) {
      const stream = session.request(
        { ':method': 'POST', ':path': `/${method}`, ...grpc },
        { endStream: false },
      );
      const ended = new Promise<Trailers>((resolve, reject) => {
        let found: Record<string, unknown> = {};
        const take = (more: object) => {
          found = { ...found, ...more };
        };
        stream.on('response', take).on('trailers', take).on('error', reject).resume();
        stream.on('close', () =>
          resolve(
            new Headers(
              Object.entries(found).flatMap(([name, value]) =>
                name.startsWith(':') ? [] : [[name, String(value)] as [string, string]],
              ),
            ),
          ),
        );
      });
      ended.catch(() => {});
      if (body.length > 0) stream.write(body);
      if (isWhole) stream.end();
      return { ended };
    },
  };
}

const quic = createQuic();

async function overQuic(daemon: TestDaemon, enrollment: PairedEnrollment): Promise<BareClient> {
  const { cert, key } = credentialOf(enrollment);
  const connection = await quic.dial({
    host: '127.0.0.1',
    port: Number(enrollment.quicAddress!.split(':').at(-1)),
    tls: {
      certificateChain: cert,
      privateKey: key,
      pinnedRoot: certificatesToPem(enrollment.trustBundle),
      trustDomain: enrollment.trustDomain,
    },
  });
  daemon.closeAtEnd(connection);
  return {
    async begin(method, body, isWhole) {
      const stream = await connection.openStream();
      await stream.write(
        Buffer.concat([
          encodeFrame({ type: 'request', path: `/${method}`, headers: new Headers(grpc) }),
          ...(body.length > 0 ? [encodeFrame({ type: 'data', bytes: body })] : []),
          ...(isWhole ? [encodeFrame({ type: 'end' })] : []),
        ]),
      );
      const ended = trailersOf(stream);
      ended.catch(() => {});
      return { ended };
    },
  };
}

async function trailersOf(stream: ByteStream): Promise<Trailers> {
  const parser = new FrameParser();
  for (let bytes = await stream.read(); bytes; bytes = await stream.read())
    for (const each of parser.push(bytes))
      if (each.type === 'trailers') return new Headers([...each.headers]);
  return assert.fail('the stream ended without trailers');
}

function message<Schema extends DescMessage>(schema: Schema, init: MessageInitShape<Schema>): Buffer {
  return frame(toBinary(schema, create(schema, init)));
}

const methodOf = (service: { readonly typeName: string }, { name }: { readonly name: string }) =>
  `${service.typeName}/${name}`;
const status = methodOf(NodeService, NodeService.method.status);
const half = frame(Buffer.alloc(1_000)).subarray(0, 500);

/** Every stage of a call at the moment when its device is shut out. */
function stages(
  busyDevice: string,
): readonly [stage: string, method: string, body: Uint8Array, isWhole: boolean][] {
  const hello = { event: { case: 'hello' as const, value: { agentId: new Uint8Array(16).fill(7) } } };
  const { watch, executeCapability } = AdminService.method;
  const execute = { deviceId: busyDevice, capability: 'wait' };
  return [
    ['a unary call whose message has not begun', status, Buffer.alloc(0), false],
    ['a unary call that has sent half of its message', status, half, false],
    [
      'a unary call that is being answered',
      methodOf(AdminService, executeCapability),
      message(executeCapability.input, execute),
      true,
    ],
    ['a server stream that has sent half of its message', methodOf(AdminService, watch), half, false],
    ['a server stream', methodOf(AdminService, watch), message(watch.input, {}), true],
    [
      'a stream of both sides',
      methodOf(NodeService, NodeService.method.events),
      message(DeviceEventSchema, hello),
      false,
    ],
    [
      'a stream of both sides that has not begun',
      methodOf(NodeService, NodeService.method.events),
      half,
      false,
    ],
  ];
}

/** A device that accepts calls and never answers. */
async function busyDevice(t: TestContext, daemon: TestDaemon): Promise<string> {
  const device = await makeDevice({ name: 'busy' });
  const node = await daemon.node(await pair(daemon, device));
  const over = new AbortController();
  t.after(() => over.abort());
  async function* sent() {
    const agentId = crypto.getRandomValues(new Uint8Array(16));
    yield create(DeviceEventSchema, { event: { case: 'hello', value: { agentId } } });
    await new Promise((resolve) => over.signal.addEventListener('abort', resolve, { once: true }));
  }
  const events = node.events(sent(), { signal: over.signal })[Symbol.asyncIterator]();
  await events.next();
  return device.identity.id;
}

for (const [transport, connect] of [
  ['HTTP/2', overHttp2],
  ['QUIC', overQuic],
] as const) {
  test(`over ${transport}, every call of a revoked device ends with a status that gives the reason`, async (t) => {
    const daemon = await TestDaemon.start(t);
    const device = await makeDevice();
    const enrollment = await pair(daemon, device, { operator: true });
    const client = await connect(daemon, enrollment);
    const calls = [];
    for (const [stage, method, body, isWhole] of stages(await busyDevice(t, daemon)))
      calls.push({ stage, ...(await client.begin(method, body, isWhole)) });
    // When this call is answered, the daemon has read everything that was sent before.
    const last = await client.begin(status, frame(Buffer.alloc(0)), true);
    assert.equal((await last.ended).get('grpc-status'), '0');

    await daemon.admin.revokeDevice({ id: device.identity.id, reason: 'lost' });
    for (const { stage, ended } of calls) {
      const trailers = await ended.catch((error) => assert.fail(`${stage}: ${error}`));
      assert.equal(trailers.get('grpc-status'), '16', stage);
      assert.equal(fromConnectError(findTrailerError(trailers)).code, 'DEVICE_REVOKED', stage);
    }
  });
}
