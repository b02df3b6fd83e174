// A test that waits for a child that ignores SIGTERM and holds our output open.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';

test('a test whose child ignores SIGTERM', async () => {
  await once(
    spawn('sh', ['-c', "trap '' TERM HUP INT; while :; do sleep 1; done"], { stdio: 'inherit' }),
    'exit',
  );
});
