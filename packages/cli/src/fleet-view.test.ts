import assert from 'node:assert/strict';
import test from 'node:test';
import { DueWork_What } from '@palyra/rpc/admin';
import type { Cli } from './cli.ts';
import { fleetTable } from './fleet-view.ts';

test('a daemon that is gone is marked, and texts of other daemons cannot control the terminal', () => {
  const nowMs = 10_000_000;
  const about = { devices: 3, connections: 5, databaseMs: 0.25, startedAtMs: 0n };
  const status = {
    daemonTimeMs: BigInt(nowMs),
    daemons: [
      {
        ...about,
        id: 'A',
        version: '1.0.0',
        endpoints: [],
        seenAtMs: BigInt(nowMs),
        isThis: true,
        isGone: false,
      },
      {
        ...about,
        id: 'B',
        version: '1.0\u001b[2J',
        endpoints: ['b.example.net:7444'],
        seenAtMs: BigInt(nowMs - 120_000),
        isThis: false,
        isGone: true,
      },
    ],
    dueWork: [{ what: DueWork_What.EXPIRIES, daemon: 'B', atMs: 1n }],
  };
  const text = fleetTable({ output: { columns: 200 } } as Cli, status as never);
  const [, first = '', second = ''] = text.split('\n');
  assert.match(first, /^A +1\.0\.0 +this daemon +3 +5 +0\.3 ms/);
  assert.match(second, /GONE, 2 min.* ago .*expiries +b\.example\.net:7444/);
  assert.ok(!text.includes('\u001b'));
});
