// How calls and their connection affect each other. Uses the conformance suite's service.

import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { Code, ConnectError, createClient, createContextKey, createContextValues } from '@connectrpc/connect';
import { IdentityError } from '@palyra/identity';
import { createCallTransport } from '../calls/client.ts';
import { serveCalls } from '../calls/server.ts';
import { fromConnectError } from '../error-map.ts';
import type { ServerConnection, StreamListenOptions, StreamTransport } from '../streams/contract.ts';
import { conformanceRoutes, HandlerWitness } from './conformance-service.ts';
import { ConformanceService } from './gen/palyra/conformance/v1/conformance_pb.js';
import { createPki, type Pki } from './pki.ts';

export function callsAndConnectionsSuite(name: string, transport: StreamTransport): void {
  describe(`calls and their connection: ${name}`, () => {
    let pki: Pki;
    before(async () => {
      pki = await createPki();
    });

    async function serve(options: Partial<StreamListenOptions> = {}) {
      const witness = new HandlerWitness();
      const admitted: ServerConnection[] = [];
      const listener = await transport.listen({
        host: '127.0.0.1',
        port: 0,
        tls: pki.serverTls,
        admit: async (connection) => void admitted.push(connection),
        serve: serveCalls({ routes: conformanceRoutes(witness) }),
        ...options,
      });
      let dials = 0;
      const calls = createCallTransport({
        connect: () => {
          dials++;
          return transport.dial({ host: '127.0.0.1', port: listener.port, tls: pki.clientTls });
        },
      });
      const client = createClient(ConformanceService, calls);
      return { witness, admitted, listener, client, dials: () => dials };
    }

    it('share one connection, made at the first call', async () => {
      const { client, listener, dials } = await serve();
      assert.equal(dials(), 0);
      await Promise.all([1, 2, 3].map((count) => client.unary({ behaviour: 'echo', count })));
      assert.equal(dials(), 1);
      await listener.close();
    });

    it('that are running when a device is revoked fail with the reason, and so does the handler; the next call dials again', async () => {
      const { client, witness, admitted, listener, dials } = await serve();
      const running = caught(client.unary({ behaviour: 'wait' }));
      assert.equal(await witness.next(), 'started');
      admitted[0]!.close(new IdentityError('DEVICE_REVOKED', 'The operator revoked this device.'));
      const error = await running;
      assert.equal(error.code, Code.Unauthenticated);
      assert.equal(fromConnectError(error).code, 'DEVICE_REVOKED');
      assert.equal(fromConnectError(error).message, 'The operator revoked this device.');
      assert.equal(await witness.next(), 'aborted: Canceled');
      assert.equal((await client.unary({ behaviour: 'echo', count: 2 })).count, 2);
      assert.equal(dials(), 2);
      await listener.close();
    });

    it('fail with the reason why the daemon refuses the connection', async () => {
      const { client, listener } = await serve({
        admit: async () => {
          throw new IdentityError('CERTIFICATE_EXPIRED', 'This certificate has expired.');
        },
      });
      assert.equal(
        fromConnectError(await caught(client.unary({ behaviour: 'echo' }))).code,
        'CERTIFICATE_EXPIRED',
      );
      await listener.close();
    });

    it('fail as unavailable when no daemon listens, and the next call dials again', async () => {
      const { listener, client, dials } = await serve();
      await listener.close();
      const call = () => client.unary({ behaviour: 'echo' }, { timeoutMs: 300 });
      for (const _ of [1, 2]) {
        const error = await caught(call());
        assert.ok([Code.Unavailable, Code.DeadlineExceeded].includes(error.code), error.message);
        assert.equal(fromConnectError(error).code, 'UNREACHABLE');
      }
      assert.ok(dials() >= 1);
    });

    it('pass the daemon’s facts about the connection to their access check', async () => {
      const who = createContextKey('nobody');
      const seen: string[] = [];
      const { client, listener } = await serve({
        serve: serveCalls({
          routes: conformanceRoutes(new HandlerWitness()),
          contextValues: (connection) =>
            createContextValues().set(who, `a certificate of ${connection.peerChain[0]!.length} bytes`),
          check: {
            begin: () => undefined,
            unary: async (method, values, run) => {
              seen.push(`${method} by ${values.get(who)}`);
              return run();
            },
            interceptor: (next) => (request) => {
              seen.push(`${request.method.name} by ${request.contextValues.get(who)}`);
              return next(request);
            },
          },
        }),
      });
      await client.unary({ behaviour: 'echo' });
      for await (const _ of client.serverStream({ behaviour: 'count' }));
      const by = `by a certificate of ${pki.device.der.length} bytes`;
      assert.deepEqual(seen, [`palyra.conformance.v1.ConformanceService/Unary ${by}`, `ServerStream ${by}`]);
      await listener.close();
    });

    it('do not wait for a silent call', async () => {
      const { client, witness, listener } = await serve();
      const abort = new AbortController();
      const silent = caught(client.unary({ behaviour: 'wait' }, { signal: abort.signal }));
      assert.equal(await witness.next(), 'started');
      for (let count = 0; count < 20; count++) {
        assert.equal((await client.unary({ behaviour: 'echo', count })).count, count);
      }
      abort.abort();
      assert.equal((await silent).code, Code.Canceled);
      await listener.close();
    });
  });
}

async function caught(promise: Promise<unknown>): Promise<ConnectError> {
  const error = await promise.then(
    () => assert.fail('the call succeeded'),
    (error) => error,
  );
  assert.ok(error instanceof ConnectError, String(error));
  return error;
}
