// The library gives the number of a connection that has ended to the next one before this process hears of the end. What is sent,
// reset or closed in between reaches the other connection, which must not take it for its own.

import assert from 'node:assert/strict';
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, it, type TestContext } from 'node:test';
import { IdentityError } from '@palyra/identity';
import { temporaryFolder } from '../../../../tests/testing/temporary-folder.ts';
import { longestWaitMs } from '../../../../tests/testing/until.ts';
import type { ByteStream, ServerConnection } from '../../../rpc/src/streams/contract.ts';
import { createPki, type Pki } from '../../../rpc/src/testing/pki.ts';
import type { SecondGot, TwoConnections } from '../testing/two-connections.ts';
import { loadLibrary } from './library.ts';
import { createQuic } from './quic.ts';
import type { QuicheRuntime } from './runtime.ts';

const client = join(import.meta.dirname, '../testing/two-connections.ts');
const revoked = new IdentityError('DEVICE_REVOKED', 'The operator revoked this device.');

const acts: Readonly<Record<string, (stream: ByteStream, connection: ServerConnection) => unknown>> = {
  'an answer': (stream) => stream.end(Buffer.from('a secret')).catch(() => {}),
  'a reset': (stream) => stream.reset('DEVICE_REVOKED'),
  'a close': (_, connection) => connection.close(revoked),
};

for (const runtime of ['portable', 'fast'] satisfies QuicheRuntime[]) {
  describe(`the number of a QUIC connection that was used before: ${runtime}`, () => {
    let pki: Pki;

    before(async () => {
      pki = await createPki();
    });

    for (const [what, act] of Object.entries(acts))
      it(`${what} for the first connection is not taken by the second one`, async (t) => {
        let got: SecondGot | undefined;
        // How long the library remembers a connection depends on the time of its round trips.
        for (let pauseMs = 100; !got; pauseMs *= 2) {
          assert.ok(pauseMs < longestWaitMs, 'no number was used again');
          got = await play(t, act, pauseMs);
        }
        assert.notEqual(got.answer, 'a secret');
        assert.ok(got.answer === 'right' || got.answer === 'UNREACHABLE', String(got.answer));
        assert.ok(got.closed === undefined || got.closed === 'UNREACHABLE', String(got.closed));
      });

    /** @returns undefined if the second connection has a number of its own. */
    async function play(t: TestContext, act: (typeof acts)[string], pauseMs: number) {
      const numbers = connectionNumbers(t);
      const first = Promise.withResolvers<[ByteStream, ServerConnection]>();
      const listener = await createQuic({ runtime }).listen({
        host: '127.0.0.1',
        port: 0,
        tls: pki.serverTls,
        admit: async () => {},
        serve: async (stream, connection) => {
          const asked = Buffer.from((await stream.read()) ?? []).toString();
          if (asked === 'first') first.resolve([stream, connection]);
          else await stream.end(Buffer.from('right')).catch(() => {});
        },
      });
      const child = fork(client, { execArgv: ['--disable-warning=ExperimentalWarning'] });
      t.after(() => child.kill('SIGKILL'));
      try {
        const begun = join(temporaryFolder(), 'begun');
        await tell(child, { port: listener.port, tls: pki.clientTls, runtime, pauseMs, begun });
        const [stream, connection] = await first.promise;
        const answer = once(child, 'message');
        await tell(child, 'go');
        doNothingUntil(() => existsSync(begun));
        act(stream, connection);
        const [got] = (await answer) as [SecondGot];
        return numbers.length === 2 && numbers[0] === numbers[1] ? got : undefined;
      } finally {
        child.kill('SIGKILL');
        await listener.close();
      }
    }
  });
}

/** Of the server's connections, in their order. */
function connectionNumbers(t: TestContext): number[] {
  const numbers: number[] = [];
  const { prototype } = loadLibrary().QuicServerSession;
  const inner = prototype.getPeerCertificateChain;
  t.mock.method(prototype, 'getPeerCertificateChain', function (this: { connHandle: number }) {
    numbers.push(this.connHandle);
    return inner.call(this as never);
  });
  return numbers;
}

const tell = (child: ChildProcess, message: TwoConnections | 'go') =>
  new Promise<void>((resolve) => child.send(message, () => resolve()));

/** Stops this thread, which hears of nothing meanwhile. */
function doNothingUntil(isOver: () => boolean): void {
  const nothing = new Int32Array(new SharedArrayBuffer(4));
  const startedAt = performance.now();
  while (!isOver()) {
    if (performance.now() - startedAt > longestWaitMs)
      throw new Error('waited in vain: the second connection');
    Atomics.wait(nothing, 0, 0, 10);
  }
}
