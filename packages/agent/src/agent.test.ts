// The agent's own limits, against a daemon that misbehaves in ways a real one cannot. Only the daemon's events are simulated.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createRouterTransport } from '@connectrpc/connect';
import { IdentityError } from '@palyra/identity/device';
import { type NodeConnection, NodeService } from '@palyra/rpc';
import { TestDaemon } from '../../../tests/testing/running-daemon.ts';
import { makeDevice, pair } from '../../../tests/testing/sample-device.ts';
import { within } from '../../../tests/testing/until.ts';
import { runAgent } from './agent.ts';
import type { AgentState } from './options.ts';

test('a daemon that settles calls while their work continues cannot make the agent run more than its limit', async (t) => {
  const device = await makeDevice();
  const enrollment = await pair(await TestDaemon.start(t), device);
  const asking = createRouterTransport(({ service }) => {
    service(NodeService, {
      register: () => ({}),
      async *events(incoming) {
        const words = incoming[Symbol.asyncIterator]();
        await words.next();
        for (let index = 0; index < 1100; index += 1) {
          const callId = `${index}`;
          yield { event: { case: 'execute', value: { callId, capability: 'deaf', timeoutMs: 1 } } };
          await words.next();
          yield { event: { case: 'settled', value: { callId } } };
        }
      },
    });
  });
  const connection: NodeConnection = {
    name: 'http2',
    address: 'daemon:1',
    transport: asking,
    closed: new Promise(() => {}),
    close() {},
    destroy() {},
  };
  const stop = new AbortController();
  const release = Promise.withResolvers<void>();
  const states: AgentState[] = [];
  let started = 0;
  const deaf = async () => {
    started += 1;
    await release.promise;
    return Buffer.from('1');
  };
  await runAgent({
    device,
    enrollment,
    dial: async () => connection,
    dialRecovery: () => Promise.reject(new Error('not needed')),
    capabilities: new Map([['deaf', deaf]]),
    platform: 'linux x64',
    signal: stop.signal,
    retryMs: 60_000,
    onState: (state) => {
      states.push(state);
      if (state.state !== 'disconnected') return;
      stop.abort();
      release.resolve();
    },
  });
  const last = states.at(-1);
  assert.equal(last?.state === 'disconnected' && last.error.code, 'TOO_MANY_REQUESTS');
  assert.equal(started, 1024);
});

for (const where of ['dials', 'registers', 'dials for its recovery'] as const) {
  test(`an agent that is stopped while it ${where} ends at once, and its connection is closed`, async (t) => {
    const device = await makeDevice();
    const enrollment = await pair(await TestDaemon.start(t), device);
    const stop = new AbortController();
    const closed = Promise.withResolvers<void>();
    const late = Promise.withResolvers<NodeConnection>();
    const isRecovery = where === 'dials for its recovery';
    const connection: NodeConnection = {
      name: 'http2',
      address: 'daemon:1',
      transport: createRouterTransport(({ service }) => {
        service(NodeService, {
          register() {
            stop.abort();
            return new Promise<never>(() => {});
          },
        });
      }),
      closed: new Promise(() => {}),
      close: closed.resolve,
      destroy() {},
    };
    const dial = () => {
      if (where === 'registers') return Promise.resolve(connection);
      stop.abort();
      return late.promise;
    };
    const gone = new IdentityError('CERTIFICATE_UNKNOWN', 'The daemon does not know this certificate.');
    await within(
      'the end of the agent',
      runAgent({
        device,
        enrollment,
        dial: isRecovery ? () => Promise.reject(gone) : dial,
        dialRecovery: async () => ({
          ...(await dial()),
          channelBinding: new Uint8Array(),
          closed: Promise.resolve(undefined),
        }),
        capabilities: new Map(),
        platform: 'linux x64',
        signal: stop.signal,
      }),
    );
    late.resolve(connection);
    await within('the close of the connection', closed.promise);
  });
}
