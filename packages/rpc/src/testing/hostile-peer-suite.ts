// A peer that breaks the protocol loses its stream with an error code, and affects nothing else.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { type Client, Code, ConnectError, createClient } from '@connectrpc/connect';
import type { IdentityErrorCode } from '@palyra/identity';
import { within } from '../../../../tests/testing/until.ts';
import { initialWindowBytes } from '../calls/call-stream.ts';
import { createCallTransport } from '../calls/client.ts';
import { encodeFrame, type Frame } from '../calls/frame.ts';
import { serveCalls } from '../calls/server.ts';
import { fromConnectError } from '../error-map.ts';
import { type ResetReason, StreamReset } from '../streams/close-code.ts';
import type { ByteStream, ClientConnection, StreamListener, StreamTransport } from '../streams/contract.ts';
import { conformanceRoutes, HandlerWitness } from './conformance-service.ts';
import { ConformanceService } from './gen/palyra/conformance/v1/conformance_pb.js';
import { createPki, type Pki } from './pki.ts';

const grpc = new Headers({ 'content-type': 'application/grpc+proto', te: 'trailers' });
const request = (path: string, headers = grpc) => encodeFrame({ type: 'request', path, headers });
const bidi = '/palyra.conformance.v1.ConformanceService/Bidi';
const data = (size: number) => encodeFrame({ type: 'data', bytes: Buffer.alloc(size) });
const frame = (frame: Frame) => encodeFrame(frame);
const hex = (text: string) => Buffer.from(text.replaceAll(' ', ''), 'hex');

/** A gRPC message: its prefix, and field 1 of Ask. */
const ask = (behaviour: string) =>
  Buffer.concat([
    hex('00000000'),
    Uint8Array.of(behaviour.length + 2, 0x0a, behaviour.length),
    Buffer.from(behaviour),
  ]);

export function hostilePeerSuite(name: string, transport: StreamTransport): void {
  describe(`a hostile client: ${name}`, () => {
    const witness = new HandlerWitness();
    let listener: StreamListener;
    let connection: ClientConnection;
    let client: Client<typeof ConformanceService>;
    const errors: unknown[] = [];

    before(async () => {
      const pki = await createPki();
      listener = await transport.listen({
        host: '127.0.0.1',
        port: 0,
        tls: pki.serverTls,
        admit: async () => {},
        serve: serveCalls({
          routes: conformanceRoutes(witness),
          onError: (error) => errors.push(error),
        }),
      });
      connection = await transport.dial({ host: '127.0.0.1', port: listener.port, tls: pki.clientTls });
      client = createClient(ConformanceService, createCallTransport({ connect: async () => connection }));
    });
    after(() => listener.close());

    const attacks: [name: string, bytes: Uint8Array[], reason: ResetReason][] = [
      ['noise', [hex('deadbeef')], 'MESSAGE_INVALID'],
      ['a frame type from the future', [hex('0700')], 'MESSAGE_INVALID'],
      ['data before a request', [data(5)], 'MESSAGE_INVALID'],
      ['an end before a request', [frame({ type: 'end' })], 'MESSAGE_INVALID'],
      ['a response', [frame({ type: 'response', status: 200, headers: grpc })], 'MESSAGE_INVALID'],
      ['trailers', [request(bidi), frame({ type: 'trailers', headers: grpc })], 'MESSAGE_INVALID'],
      ['two requests', [request(bidi), request(bidi)], 'MESSAGE_INVALID'],
      ['data after the end', [request(bidi), frame({ type: 'end' }), data(5)], 'MESSAGE_INVALID'],
      ['headers of 16 MiB, of which no byte was sent', [hex('0181000000')], 'MESSAGE_TOO_LARGE'],
      ['a data frame of 1 GiB', [request(bidi), hex('03bfffffff')], 'MESSAGE_TOO_LARGE'],
      ['a length of eight bytes', [hex('01c000000000000001')], 'MESSAGE_TOO_LARGE'],
      ['129 headers', [hex(`01420702 2f61${'01610162'.repeat(129)}`)], 'MESSAGE_INVALID'],
      ['a header that splits another', [hex('0109' + '022f61' + '0161' + '03620a62')], 'MESSAGE_INVALID'],
      [
        'an unlimited window',
        [request(bidi), ...Array(3).fill(frame({ type: 'window', bytes: 0x3fffffff }))],
        'MESSAGE_INVALID',
      ],
      ['a window of no bytes', [request(bidi), hex('060100')], 'MESSAGE_INVALID'],
      ['data without bytes', [request(bidi), hex('0300')], 'MESSAGE_INVALID'],
    ];
    for (const [name, bytes, reason] of attacks) {
      it(`that sends ${name} loses its stream`, async () => {
        const stream = await connection.openStream();
        await stream.write(Buffer.concat(bytes)).catch(() => {});
        await losesStream(stream, reason);
      });
    }

    it('that ends in the middle of a frame loses its stream', async () => {
      const stream = await connection.openStream();
      await stream.end(request(bidi).subarray(0, 20));
      await losesStream(stream, 'MESSAGE_INVALID');
    });

    it('that ends its stream without an END frame counts as gone, and the handler learns this', async () => {
      const stream = await connection.openStream();
      const message = ask('watch');
      await stream.write(Buffer.concat([request(bidi), frame({ type: 'data', bytes: message })]));
      assert.ok(await stream.read());
      await stream.end();
      assert.equal(await witness.next(), 'aborted: Canceled');
    });

    it('that sends more than its window loses its stream', async () => {
      const stream = await connection.openStream();
      const message = ask('wait');
      await stream.write(Buffer.concat([request(bidi), frame({ type: 'data', bytes: message })]));
      assert.equal(await witness.next(), 'started');
      for (let sent = 0; sent <= initialWindowBytes; sent += 60_000)
        await stream.write(data(60_000)).catch(() => {});
      await losesStream(stream, 'MESSAGE_TOO_LARGE');
      assert.equal(await witness.next(), 'aborted: Canceled');
    });

    it('that calls an unknown method, or does not use gRPC, gets an answer and causes no error on the server', async () => {
      for (const [path, headers, status] of [
        ['/nothing', grpc, 404],
        ['/../../etc/passwd', grpc, 404],
        [bidi, new Headers({ 'content-type': 'text/html' }), 415],
        [bidi, new Headers(), 415],
      ] as const) {
        const stream = await connection.openStream();
        await stream.write(Buffer.concat([request(path, headers), frame({ type: 'end' })]));
        assert.deepEqual(Buffer.from((await stream.read())!).subarray(0, 4), response(status));
        await stream.end();
      }
      assert.deepEqual(errors, []);
    });

    it('has not affected other calls on the same connection', async () => {
      assert.equal((await client.unary({ behaviour: 'echo', count: 1 })).count, 1);
      assert.deepEqual(errors, []);
    });

    const response = (status: number) => {
      const bytes = Buffer.from(frame({ type: 'response', status, headers: new Headers() }));
      return bytes.subarray(0, 4);
    };
  });

  describe(`a hostile server: ${name}`, () => {
    let pki: Pki;
    before(async () => {
      pki = await createPki();
    });

    async function against(serve: (stream: ByteStream) => Promise<void>) {
      const listener = await transport.listen({
        host: '127.0.0.1',
        port: 0,
        tls: pki.serverTls,
        admit: async () => {},
        serve: (stream) => void serve(stream).catch(() => {}),
      });
      const calls = createCallTransport({
        connect: () => transport.dial({ host: '127.0.0.1', port: listener.port, tls: pki.clientTls }),
      });
      return { listener, client: createClient(ConformanceService, calls) };
    }

    const ok = frame({ type: 'response', status: 200, headers: grpc });
    const done = frame({ type: 'trailers', headers: new Headers({ 'grpc-status': '0' }) });
    const attacks: [name: string, answer: Uint8Array[], code: Code, ours: IdentityErrorCode][] = [
      ['noise', [hex('ffffff')], Code.InvalidArgument, 'MESSAGE_INVALID'],
      ['nothing', [], Code.InvalidArgument, 'MESSAGE_INVALID'],
      ['a response without an end', [ok], Code.InvalidArgument, 'MESSAGE_INVALID'],
      ['half a frame', [ok.subarray(0, 10)], Code.InvalidArgument, 'MESSAGE_INVALID'],
      ['trailers first', [done], Code.InvalidArgument, 'MESSAGE_INVALID'],
      ['two responses', [ok, ok], Code.InvalidArgument, 'MESSAGE_INVALID'],
      ['a request', [request(bidi)], Code.InvalidArgument, 'MESSAGE_INVALID'],
      ['a data frame of 1 GiB', [ok, hex('03bfffffff')], Code.ResourceExhausted, 'MESSAGE_TOO_LARGE'],
      [
        'a gRPC message of 4 GiB',
        [ok, frame({ type: 'data', bytes: hex('00ffffffff00') }), done],
        Code.ResourceExhausted,
        'MESSAGE_TOO_LARGE',
      ],
      ['no message', [ok, done], Code.Unimplemented, 'UNREACHABLE'],
    ];
    for (const [name, answer, code, ours] of attacks) {
      it(`that answers with ${name} fails the call`, async () => {
        const { listener, client } = await against(async (stream) => {
          await stream.read();
          await stream.end(Buffer.concat(answer));
        });
        const error = await caught(client.unary({ behaviour: 'echo' }));
        assert.equal(Code[error.code], Code[code], error.message);
        assert.equal(fromConnectError(error).code, ours);
        await listener.close();
      });
    }

    it('that sends more than the window does not fill the memory of a client that reads slowly', async () => {
      const cut = Promise.withResolvers<void>();
      const { listener, client } = await against(async (stream) => {
        await stream.read();
        await stream.write(ok);
        const message = frame({ type: 'data', bytes: hex('0000000000') });
        try {
          for (;;) await stream.write(Buffer.concat(Array(1000).fill(message)));
        } finally {
          cut.resolve();
        }
      });
      const output = client.serverStream({ behaviour: 'count' })[Symbol.asyncIterator]();
      await output.next();
      // The violation arrives while the client is not reading.
      await within('the server is cut off', cut.promise);
      const error = await caught(
        (async () => {
          while (!(await output.next()).done);
        })(),
      );
      assert.equal(fromConnectError(error).code, 'MESSAGE_TOO_LARGE');
      await listener.close();
    });
  });
}

async function losesStream(stream: ByteStream, reason: ResetReason): Promise<void> {
  await assert.rejects(
    async () => {
      while (await stream.read());
    },
    (error) => error instanceof StreamReset && error.reason === reason,
  );
}

async function caught(promise: Promise<unknown>): Promise<ConnectError> {
  const error = await promise.then(
    () => assert.fail('the call succeeded'),
    (error) => error,
  );
  assert.ok(error instanceof ConnectError, String(error));
  return error;
}
