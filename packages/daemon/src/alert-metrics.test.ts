import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { IdentityManager } from '@palyra/identity';
import { DaemonMetrics } from './metrics.ts';

const rules = fileURLToPath(new URL('../../../docs/alerts.yml', import.meta.url));
const noPromtool =
  spawnSync('promtool', ['--version']).error && "promtool of Debian's package prometheus is missing";

function sampleText(): Promise<string> {
  const authority = (tier: string, state: string, seconds: number) => ({
    tier,
    state,
    notAfter: new Date(seconds * 1000),
  });
  const registry = {
    counts: async () => ({ devices: 1, pendingRequests: 0, waitingCodes: 0 }),
    authorities: async () => [
      authority('root', 'active', 2_000_000_000),
      authority('root', 'retired', 1_000_000_000),
      authority('issuing', 'trusted', 1_500_000_000),
      authority('issuing', 'active', 1_900_000_000),
    ],
  };
  return new DaemonMetrics({ registry } as unknown as IdentityManager, {
    version: '1.2.3',
    connections: () => ({ node: 1 }),
    rateLimited: () => 2,
    keyProblem: async () => undefined,
    quicTraffic: () => ({ datagrams: 3, handshakes: 1 }),
  }).text();
}

test('the metrics contain the ends of the signing authorities and the build', async () => {
  const text = await sampleText();
  assert.match(text, /^palyra_authority_end_timestamp_seconds\{tier="root"\} 2000000000$/m);
  assert.match(text, /^palyra_authority_end_timestamp_seconds\{tier="issuing"\} 1900000000$/m);
  assert.match(text, /^palyra_build_info\{version="1.2.3"\} 1$/m);
});

test('each metric in the alerts exists', async () => {
  const text = await sampleText();
  const named = new Set(readFileSync(rules, 'utf8').match(/palyra_[a-z_]+/g));
  assert.ok(named.size > 2);
  for (const name of named) assert.ok(text.includes(`\n# TYPE ${name} `), name);
});

test('promtool accepts the metrics and the alerts', { skip: noPromtool }, async () => {
  const lint = spawnSync('promtool', ['check', 'metrics'], { input: await sampleText(), encoding: 'utf8' });
  assert.deepEqual([lint.status, lint.stderr], [0, '']);
  const checked = spawnSync('promtool', ['check', 'rules', rules], { encoding: 'utf8' });
  assert.equal(checked.status, 0, checked.stdout + checked.stderr);
});
