import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TestDaemon } from '../../../../tests/testing/running-daemon.ts';
import { makeDevice, pair } from '../../../../tests/testing/sample-device.ts';
import { runRecorded } from '../testing/recorded-run.ts';

test('devices renew asks the named devices, or all of them', async (t) => {
  const daemon = await TestDaemon.start(t);
  const palyra = (...args: string[]) =>
    runRecorded({ args: ['devices', 'renew', ...args, '--home', daemon.home] });
  assert.match((await palyra('--all')).stdout, /No device has a valid certificate/);
  const [one, other] = [await makeDevice({ name: 'one' }), await makeDevice({ name: 'other' })];
  for (const device of [one, other]) await pair(daemon, device);
  const ofOne = await palyra(one.identity.id.slice(-8));
  assert.equal(
    ofOne.stdout,
    '1 device is asked to renew now. 1 device is not connected and learns of it later.\n',
  );
  const ofAll = await palyra('--all', '--json');
  assert.deepEqual(JSON.parse(ofAll.stdout), { asked: 2, connected: 0, within_ms: 3_600_000 });
  assert.match((await palyra('--all', '--within', '2h')).stdout, /^2 devices are asked to renew within 2 h/);
});

test('devices renew needs devices or --all, and not both', async (t) => {
  const daemon = await TestDaemon.start(t);
  for (const args of [[], ['--all', 'ABCDEFGH']]) {
    const { exitCode, stderr } = await runRecorded({
      args: ['devices', 'renew', ...args, '--home', daemon.home],
    });
    assert.equal(exitCode, 2);
    assert.match(stderr, /Name devices, or give --all/);
  }
});
