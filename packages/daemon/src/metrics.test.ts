import assert from 'node:assert/strict';
import test from 'node:test';
import { IdentityError, type IdentityManager } from '@palyra/identity';
import { DaemonMetrics, listenMetrics } from './metrics.ts';

test('a registry that cannot be read is a failed scrape, and the next one works again', async (t) => {
  let broken = true;
  const counts = async () => {
    if (broken) throw new IdentityError('STORE_FAILED', 'The disk failed.');
    return { devices: 7, pendingRequests: 0, waitingCodes: 0 };
  };
  const metrics = new DaemonMetrics({ registry: { counts } } as unknown as IdentityManager, {
    connections: () => ({}),
    rateLimited: () => 0,
    keyProblem: async () => undefined,
    quicTraffic: () => ({ datagrams: 0, handshakes: 0 }),
  });
  const errors: unknown[] = [];
  const listener = await listenMetrics({ host: '127.0.0.1', port: 0 }, metrics, (error) =>
    errors.push(error),
  );
  t.after(() => listener.close());
  const scrape = () => fetch(`http://127.0.0.1:${listener.port}/metrics`);
  assert.equal((await scrape()).status, 503);
  assert.equal(errors.length, 1);
  broken = false;
  const answer = await scrape();
  assert.equal(answer.status, 200);
  assert.match(await answer.text(), /palyra_registry\{what="devices"\} 7/);
});
