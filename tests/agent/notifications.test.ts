// An operator's agent shows requests of devices to pair. Other agents do not learn of them.

import assert from 'node:assert/strict';
import { chmod, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'node:test';
import type { RequestWatchOptions } from '@palyra/agent';
import { answer, PalyraProcess } from '../testing/palyra-process.ts';
import { TestDaemon } from '../testing/running-daemon.ts';
import { makeDevice, pair, request } from '../testing/sample-device.ts';
import { temporaryFolder } from '../testing/temporary-folder.ts';
import { TestAgent } from '../testing/test-agent.ts';
import { until } from '../testing/until.ts';

test('palyra node run --notify shows a desktop notification of each request', async (t) => {
  const daemon = await TestDaemon.start(t);
  const home = temporaryFolder();
  const { code } = await daemon.admin.mintCode({ autoApprove: true });
  const stdin = `${code}\n`;
  const paired = await answer(['pair', daemon.pairingAddress, '--code-stdin'], { home, stdin });
  await answer(['devices', 'set-role', paired.device_id, 'operator', '--yes'], { home: daemon.home });
  const folder = temporaryFolder();
  const said = join(folder, 'said');
  await writeFile(join(folder, 'notify-send'), `#!/bin/sh\nprintf '%s\\n' "$@" >>${said}\n`);
  await chmod(join(folder, 'notify-send'), 0o755);
  const env = { PATH: `${folder}:${process.env.PATH}` };
  const agent = PalyraProcess.start(['node', 'run', '--notify'], { home, env });
  t.after(async () => void (await agent.end('SIGKILL')));
  await agent.line(({ event }) => event === 'connected');
  const { words } = await request(daemon, await makeDevice({ name: 'kitchen <sensor>' }));
  const line = await agent.line(({ event }) => event === 'request');
  assert.equal(line.name, 'kitchen <sensor>');
  const shown = await until('the notification', () => readFile(said, 'utf8').catch(() => ''));
  assert.match(shown, /^kitchen &lt;sensor&gt;$/m);
  assert.ok(!shown.includes(words));
});

test('a request is shown once, even if the agent reconnects, and a request made in the meantime is not missed', async (t) => {
  const daemon = await TestDaemon.start(t);
  const operator = await makeDevice();
  const names: string[] = [];
  const refusals: string[] = [];
  const requests: RequestWatchOptions = {
    onRequest: ({ device }) => names.push(device?.name ?? ''),
    onRefused: ({ code }) => refusals.push(code),
  };
  const enrollment = await pair(daemon, operator, { operator: true });
  await request(daemon, await makeDevice({ name: 'one' }));
  const agent = new TestAgent(t, operator, enrollment, { requests });
  await until('the first', () => names.length > 0);
  await request(daemon, await makeDevice({ name: 'two' }));
  await until('the second', () => names.length > 1);
  agent.connections.at(-1)?.destroy();
  await request(daemon, await makeDevice({ name: 'three' }));
  await until('the third', () => names.length > 2);
  assert.deepEqual([names, refusals], [['one', 'two', 'three'], []]);
});

test('the agent of a device without the role learns of no request, and says why', async (t) => {
  const daemon = await TestDaemon.start(t);
  const device = await makeDevice();
  const names: string[] = [];
  const refusals: string[] = [];
  const agent = new TestAgent(t, device, await pair(daemon, device), {
    requests: { onRequest: () => names.push(''), onRefused: ({ code }) => refusals.push(code) },
  });
  await agent.connected();
  await until('the refusal', () => refusals.length > 0);
  await request(daemon, await makeDevice({ name: 'one' }));
  assert.deepEqual([names, refusals], [[], ['CALLER_NOT_ALLOWED']]);
  assert.equal(agent.states.filter(({ state }) => state === 'disconnected').length, 0);
});
