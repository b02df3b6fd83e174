// Processes that outlive the file: one in its own session, a daemon without parent, one without the environment.

import { spawn, spawnSync } from 'node:child_process';
import { test } from 'node:test';

test('a test that leaves processes', () => {
  spawn('sleep', ['1001'], { stdio: 'ignore', detached: true }).unref();
  spawnSync('sh', ['-c', 'setsid sleep 1002 >/dev/null 2>&1 &']);
  spawn('sleep', ['1003'], { stdio: 'ignore', env: {} }).unref();
});
