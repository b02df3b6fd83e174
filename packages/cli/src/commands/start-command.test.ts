// Whoever starts the daemon as a command says starts it with the configuration that it had.

import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { startDaemon } from '@palyra/daemon';
import { day, HeldClock } from '../../../../tests/testing/held-clock.ts';
import { runRecorded, temporaryFolder } from '../testing/recorded-run.ts';

test('after ca set-aside, the command that starts the daemon names the configuration elsewhere', async (t) => {
  const folder = await temporaryFolder(t);
  const [home, configFile] = [join(folder, 'home'), join(folder, "the daemon's.json")];
  const here = { host: '127.0.0.1', port: 0 };
  const config = { pairing: here, node: here, quic: { enabled: false }, console: { enabled: false } };
  await writeFile(configFile, JSON.stringify(config), { mode: 0o600 });
  const clock = new HeldClock();
  clock.jump(5 * 365 * day);
  await (await startDaemon({ home, configFile, clock })).close();
  const { stdout } = await runRecorded({ args: ['--home', home, 'ca', 'set-aside', '--yes'] });
  assert.ok(
    stdout.includes(`Start it: palyra daemon --config '${folder}/the daemon'\\''s.json' --home`),
    stdout,
  );
});
