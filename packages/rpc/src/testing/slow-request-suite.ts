// Requests that do not arrive completely in time end, so that slow callers do not hold the daemon's resources.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { type Client, Code, createClient } from '@connectrpc/connect';
import { within } from '../../../../tests/testing/until.ts';
import { createCallTransport } from '../calls/client.ts';
import { encodeFrame } from '../calls/frame.ts';
import { serveCalls } from '../calls/server.ts';
import type { ByteStream, ClientConnection, StreamListener, StreamTransport } from '../streams/contract.ts';
import { conformanceRoutes, HandlerWitness } from './conformance-service.ts';
import { ConformanceService } from './gen/palyra/conformance/v1/conformance_pb.js';
import { createPki } from './pki.ts';

const requestMs = 100;
const request = (method: string, headers: Record<string, string> = {}) =>
  encodeFrame({
    type: 'request',
    path: `/palyra.conformance.v1.ConformanceService/${method}`,
    headers: new Headers({ 'content-type': 'application/grpc+proto', te: 'trailers', ...headers }),
  });
/** A message of `{ behaviour: 'echo' }`. */
const echo = Buffer.concat([Uint8Array.of(0, 0, 0, 0, 6, 0x0a, 4), Buffer.from('echo')]);
const data = (bytes: Uint8Array) => encodeFrame({ type: 'data', bytes });

export function slowRequestSuite(name: string, transport: StreamTransport): void {
  describe(`a request that does not arrive completely in time: ${name}`, () => {
    const witness = new HandlerWitness();
    const errors: unknown[] = [];
    let listener: StreamListener;
    let connection: ClientConnection;
    let client: Client<typeof ConformanceService>;

    before(async () => {
      const pki = await createPki();
      listener = await transport.listen({
        host: '127.0.0.1',
        port: 0,
        tls: pki.serverTls,
        admit: async () => {},
        serve: serveCalls({
          routes: conformanceRoutes(witness),
          requestMs,
          onError: (error) => errors.push(error),
        }),
      });
      connection = await transport.dial({ host: '127.0.0.1', port: listener.port, tls: pki.clientTls });
      client = createClient(ConformanceService, createCallTransport({ connect: async () => connection }));
    });
    after(() => listener.close());

    const slow: [name: string, bytes: Uint8Array[]][] = [
      ['half a head', [request('Unary').subarray(0, 20)]],
      ['a head and no message', [request('Unary')]],
      ['half a message', [request('Unary'), data(echo.subarray(0, 7))]],
      ['half a frame', [request('Unary'), data(echo).subarray(0, 6)]],
      ['a message and no end', [request('Unary'), data(echo)]],
      [
        'half a message, as JSON',
        [request('Unary', { 'content-type': 'application/grpc+json' }), data(echo.subarray(0, 7))],
      ],
      [
        'half a message to a method that streams its answer',
        [request('ServerStream'), data(echo.subarray(0, 7))],
      ],
      ['no first message of a stream', [request('ClientStream')]],
      ['half a message of a stream', [request('Bidi'), data(echo.subarray(0, 7))]],
      ['half of the second message of a stream', [request('Bidi'), data(echo), data(echo.subarray(0, 7))]],
    ];
    for (const [name, bytes] of slow) {
      it(`ends after ${name}`, async () => {
        const stream = await connection.openStream();
        await stream.write(Buffer.concat(bytes));
        const answer = await within('the end of the call', wholeAnswer(stream));
        await stream.end();
        assert.ok(answer.includes(`grpc-status${String.fromCharCode(1)}${Code.DeadlineExceeded}`), answer);
      });
    }

    it('frees its place: three hundred such requests end, and later calls are answered', async () => {
      for (let round = 0; round < 3; round += 1) {
        const streams = await Promise.all(
          Array.from({ length: 100 }, async () => {
            const stream = await connection.openStream();
            await stream.write(request('Unary').subarray(0, 20));
            return stream;
          }),
        );
        await within('the end of the calls', Promise.all(streams.map(wholeAnswer)));
        await within('room for others', Promise.all(streams.map((each) => each.end())));
      }
      assert.equal((await client.unary({ behaviour: 'echo', count: 1 })).count, 1);
      assert.deepEqual(errors, []);
    });

    it('does not include a request whose caller pauses between messages or waits for an answer', async () => {
      const pause = Promise.withResolvers<void>();
      async function* asks() {
        yield { behaviour: 'echo', count: 1 };
        await pause.promise;
        yield { behaviour: 'echo', count: 2 };
      }
      const slowest = setTimeout(() => pause.resolve(), 3 * requestMs);
      const counts: number[] = [];
      for await (const { count } of client.bidi(asks())) counts.push(count);
      clearTimeout(slowest);
      assert.deepEqual(counts, [1, 2, 2]);
    });
  });
}

async function wholeAnswer(stream: ByteStream): Promise<string> {
  const parts: Uint8Array[] = [];
  for (let bytes = await stream.read(); bytes; bytes = await stream.read()) parts.push(bytes);
  return Buffer.concat(parts).toString('latin1');
}
