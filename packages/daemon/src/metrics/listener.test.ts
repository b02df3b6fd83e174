import assert from 'node:assert/strict';
import test from 'node:test';
import { IdentityError } from '@palyra/identity';
import { listenMetrics } from './listener.ts';
import { DaemonMetrics } from './metrics.ts';
import { quietDaemon } from './testing/quiet-daemon.ts';

test('a scrape fails while the registry cannot be read, and the next one works again', async (t) => {
  let broken = true;
  const counts = async () => {
    if (broken) throw new IdentityError('STORE_FAILED', 'The disk failed.');
    return { devices: 7, pendingRequests: 0, waitingCodes: 0 };
  };
  const { fleet } = quietDaemon;
  const metrics = new DaemonMetrics({ ...quietDaemon, fleet: { ...fleet, counts } });
  const errors: unknown[] = [];
  let ready = true;
  const isReady = async () => {
    await counts();
    return ready;
  };
  const listener = await listenMetrics({ host: '127.0.0.1', port: 0 }, metrics, isReady, (error) =>
    errors.push(error),
  );
  t.after(() => listener.close());
  const ask = (path: string, method = 'GET') => fetch(`http://127.0.0.1:${listener.port}${path}`, { method });
  const scrape = () => ask('/metrics');
  assert.equal((await scrape()).status, 503);
  assert.equal(errors.length, 1);
  assert.equal((await ask('/readyz')).status, 503, 'the registry cannot be read');
  assert.equal((await ask('/healthz')).status, 200, 'the process answers');
  broken = false;
  const answer = await scrape();
  assert.equal(answer.status, 200);
  const text = await answer.text();
  assert.match(text, /palyra_registry\{what="devices"\} 7/);
  assert.match(text, /# TYPE palyra_pairing_rate_limited_total counter/);
  assert.match(text, /# TYPE palyra_quic_received_total counter/);
  assert.equal((await ask('/readyz')).status, 200);
  ready = false;
  assert.equal((await ask('/readyz')).status, 503);
  for (const path of ['/', '/readyz/', '/healthz?x', '/METRICS']) assert.equal((await ask(path)).status, 404);
  assert.equal((await ask('/readyz', 'POST')).status, 404);
});
