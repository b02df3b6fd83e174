// Deadlines of streams (grpc-timeout) and requests that stay incomplete, over HTTP/2 and QUIC. The caller here sends the
// deadline without enforcing it, so that only the daemon can end the call.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import http2 from 'node:http2';
import { type TestContext, test } from 'node:test';
import { create, toBinary } from '@bufbuild/protobuf';
import {
  Code,
  ConnectError,
  type Interceptor,
  type StreamRequest,
  type Transport,
} from '@connectrpc/connect';
import { certificatesToPem } from '@palyra/identity/certificate';
import { awaitPairing, type PairedEnrollment } from '@palyra/identity/device';
import { DeviceEventSchema, dialPairing, NodeService, PairingService, pairingPeer } from '@palyra/rpc';
import { createQuic } from '@palyra/transport-quic';
import { encodeFrame, FrameParser } from '../../packages/rpc/src/calls/frame.ts';
import { bareSocket, credentialOf } from '../testing/bare-tls.ts';
import { deviceListener } from '../testing/device-listener.ts';
import { frame } from '../testing/raw-call.ts';
import { TestDaemon } from '../testing/running-daemon.ts';
import { makeDevice, pair, request } from '../testing/sample-device.ts';
import { longestWaitMs, within } from '../testing/until.ts';

const events = `/${NodeService.typeName}/${NodeService.method.events.name}`;
const awaitPath = `/${PairingService.typeName}/${PairingService.method.await.name}`;
const hello = frame(
  toBinary(
    DeviceEventSchema,
    create(DeviceEventSchema, { event: { case: 'hello', value: { agentId: new Uint8Array(16).fill(7) } } }),
  ),
);
const garbage = frame(Buffer.from('ffffffff', 'hex'));

interface Ended {
  readonly status: string | undefined;
  readonly message: string;
  readonly messages: number;
}

/** Sends the bytes and leaves its side open. */
type Call = (path: string, body: Uint8Array, timeout?: string) => Promise<Ended>;

/** The received messages. Each is `flags, length, bytes`. */
function countMessages(data: Buffer): number {
  let count = 0;
  for (let at = 0; at + 5 <= data.length; at += 5 + data.readUInt32BE(at + 1)) count += 1;
  return count;
}

function overHttp2(session: http2.ClientHttp2Session): Call {
  return async (path, body, timeout) => {
    const stream = session.request({
      ':method': 'POST',
      ':path': path,
      'content-type': 'application/grpc+proto',
      te: 'trailers',
      ...(timeout !== undefined && { 'grpc-timeout': timeout }),
    });
    const data: Buffer[] = [];
    let last: http2.IncomingHttpHeaders = {};
    stream.on('response', (headers) => {
      last = headers;
    });
    stream.on('trailers', (trailers) => {
      last = trailers;
    });
    stream.on('data', (chunk: Buffer) => data.push(chunk));
    stream.on('error', () => {});
    stream.write(body);
    // The server's end may come without a reset while this side is open.
    await within('the end of the call', Promise.race([once(stream, 'end'), once(stream, 'close')]));
    stream.close();
    return {
      status: last['grpc-status'] as string | undefined,
      message: decodeURIComponent(String(last['grpc-message'] ?? '')),
      messages: countMessages(Buffer.concat(data)),
    };
  };
}

async function overQuic(t: TestContext, daemon: TestDaemon, paired: PairedEnrollment): Promise<Call> {
  const { address } = daemon.running.listeners.find(({ name }) => name === 'quic')!;
  const { cert, key } = credentialOf(paired);
  const connection = await createQuic().dial({
    host: '127.0.0.1',
    port: Number(address.split(':')[1]),
    tls: {
      certificateChain: cert,
      privateKey: key,
      pinnedRoot: certificatesToPem(paired.trustBundle),
      trustDomain: paired.trustDomain,
    },
  });
  t.after(() => connection.close());
  return async (path, body, timeout) => {
    const headers = new Headers({ 'content-type': 'application/grpc+proto', te: 'trailers' });
    if (timeout !== undefined) headers.set('grpc-timeout', timeout);
    const stream = await connection.openStream();
    await stream.write(
      Buffer.concat([
        encodeFrame({ type: 'request', path, headers }),
        ...(body.length > 0 ? [encodeFrame({ type: 'data', bytes: body })] : []),
      ]),
    );
    const parser = new FrameParser();
    const data: Uint8Array[] = [];
    let trailers = new Headers();
    for (let isOver = false; !isOver; ) {
      const bytes = await within('the end of the call', stream.read());
      if (!bytes) break;
      for (const each of parser.push(bytes)) {
        if (each.type === 'data') data.push(each.bytes);
        if (each.type !== 'trailers') continue;
        trailers = new Headers([...each.headers]);
        isOver = true;
      }
    }
    return {
      status: trailers.get('grpc-status') ?? undefined,
      message: decodeURIComponent(trailers.get('grpc-message') ?? ''),
      messages: countMessages(Buffer.concat(data)),
    };
  };
}

async function h2Session(t: TestContext, address: string, tls: object): Promise<http2.ClientHttp2Session> {
  const socket = await bareSocket(address, tls);
  const session = http2.connect(`https://${address}`, { createConnection: () => socket });
  session.on('error', () => {});
  t.after(() => session.destroy());
  return session;
}

/** A daemon, and a paired device over the transport. */
async function device(t: TestContext, transport: 'HTTP/2' | 'QUIC'): Promise<Call> {
  const daemon = await TestDaemon.start(t);
  const paired = await pair(daemon, await makeDevice());
  if (transport === 'QUIC') return overQuic(t, daemon, paired);
  const tls = {
    ...credentialOf(paired),
    ca: certificatesToPem(paired.trustBundle),
    servername: paired.trustDomain,
  };
  return overHttp2(await h2Session(t, daemon.nodeAddress, tls));
}

for (const transport of ['HTTP/2', 'QUIC'] as const) {
  test(`over ${transport}, Events ends with its deadline: with a channel, before the hello, and within a message`, async (t) => {
    const call = await device(t, transport);
    const withChannel = await call(events, hello, '300m');
    assert.deepEqual([withChannel.status, withChannel.messages], [String(Code.DeadlineExceeded), 1]);
    for (const part of [new Uint8Array(), hello.subarray(0, 3), hello.subarray(0, -1)]) {
      const { status, messages } = await call(events, part, '100m');
      assert.deepEqual([status, messages], [String(Code.DeadlineExceeded), 0]);
    }
  });

  test(`over ${transport}, a malformed message on Events is an invalid argument`, async (t) => {
    const call = await device(t, transport);
    for (const [what, body] of [
      ['a second hello', Buffer.concat([hello, hello])],
      ['garbage', Buffer.concat([hello, garbage])],
      ['garbage as the first message', garbage],
    ] as const) {
      assert.equal((await call(events, body)).status, String(Code.InvalidArgument), what);
    }
  });
}

test('Await ends at its deadline, while its message is incomplete and while the operator decides', async (t) => {
  const daemon = await TestDaemon.start(t);
  const sample = await makeDevice();
  const pending = await request(daemon, sample);
  const call = overHttp2(await h2Session(t, daemon.pairingAddress, { rejectUnauthorized: false }));
  const late = await call(awaitPath, frame(Buffer.from('unfinished')).subarray(0, -1), '100m');
  assert.equal(late.status, String(Code.DeadlineExceeded));

  // Sent with the call, but not enforced by the client.
  const connection = await dialPairing(daemon.pairingAddress);
  daemon.closeAtEnd(connection);
  const { promise: seen, resolve } = Promise.withResolvers<Code>();
  const withDeadline: Interceptor = (next) => async (asked) => {
    asked.header.set('grpc-timeout', '300m');
    const answer = await next(asked);
    if (!answer.stream) return answer;
    const message = (async function* () {
      try {
        yield* answer.message;
        resolve(0 as Code);
      } catch (error) {
        resolve(ConnectError.from(error).code);
        throw error;
      }
    })();
    return { ...answer, message } as typeof answer;
  };
  const peer = pairingPeer({
    ...connection,
    isKnownDaemon: true,
    transport: through(connection.transport, withDeadline),
  });
  await assert.rejects(awaitPairing(sample, peer, pending, { signal: AbortSignal.timeout(longestWaitMs) }));
  assert.equal(await within('the end of Await', seen), Code.DeadlineExceeded);
});

/** The transport, with its streams passed through the interceptor. */
function through(transport: Transport, interceptor: Interceptor): Transport {
  return {
    unary: transport.unary.bind(transport),
    stream: async (method, signal, timeoutMs, header, input, contextValues) => {
      const next = interceptor((async ({ header: headers }: StreamRequest) =>
        transport.stream(method, signal, timeoutMs, headers, input, contextValues)) as never);
      return (await next({ header: new Headers(header), stream: true } as never)) as never;
    },
  };
}

test('each message of a stream must arrive in time, the first one included; pauses between messages have no limit', async (t) => {
  const requestMs = 200;
  const { address, tls } = await deviceListener(t, {
    limits: { requestMs },
    routes: (router) =>
      router.service(NodeService, {
        async *events(messages) {
          for await (const _ of messages) yield {};
        },
      }),
  });
  const call = overHttp2(await h2Session(t, address, tls));
  for (const part of [new Uint8Array(), hello.subarray(0, 3)]) {
    const { status, message, messages } = await call(events, part);
    assert.deepEqual([status, messages], [String(Code.DeadlineExceeded), 0]);
    assert.match(message, /completely/);
  }
  const later = await call(events, Buffer.concat([hello, hello.subarray(0, 3)]));
  assert.deepEqual([later.status, later.messages], [String(Code.DeadlineExceeded), 1]);
  // A complete message and then a pause. Only the call's own deadline ends it.
  const { message, messages } = await call(events, hello, `${3 * requestMs}m`);
  assert.equal(messages, 1);
  assert.doesNotMatch(message, /completely/);
});
