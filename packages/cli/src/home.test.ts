import assert from 'node:assert/strict';
import { resolve } from 'node:path';
import { test } from 'node:test';
import { followUp } from './cli.ts';
import { resolveHome } from './home.ts';
import { worksRemotely } from './remote.ts';
import { recorded } from './testing/recorded-run.ts';

test('--home takes precedence over PALYRA_HOME, and PALYRA_HOME over ~/.palyra', () => {
  const { invocation } = recorded({ palyraHome: '/from/env' });
  assert.equal(resolveHome('/given', invocation).path, '/given');
  assert.equal(resolveHome(undefined, invocation).path, '/from/env');
  assert.equal(resolveHome(undefined, recorded().invocation).path, '/home/somebody/.palyra');
});

test('daemon and device each have a folder in one home', () => {
  const home = resolveHome('/h', recorded().invocation);
  assert.equal(home.adminSocket, '/h/daemon/admin.sock');
  assert.equal(home.deviceSecrets, '/h/device/secrets');
  assert.equal(home.deviceMasterKey, '/h/device/master.key');
});

test('a follow-up command names the home only when it is not the default', () => {
  const { invocation } = recorded();
  const command = (home: string | undefined) =>
    followUp({ invocation, home: resolveHome(home, invocation) }, 'pairing list');
  assert.equal(command(undefined), 'palyra pairing list');
  assert.equal(command('/home/somebody/.palyra'), 'palyra pairing list');
  assert.equal(command('/srv/my home'), "palyra pairing list --home '/srv/my home'");
  assert.equal(command('x'), `palyra pairing list --home ${resolve('x')}`);
});

test('in a checkout the follow-up command uses npx, and the path as the person gave it', () => {
  const { invocation } = recorded({ program: 'npx palyra' });
  const cli = { invocation, home: resolveHome('.palyra', invocation) };
  assert.equal(followUp(cli, 'pair 127.0.0.1:7443'), 'npx palyra pair 127.0.0.1:7443 --home .palyra');
});

test('a command is remote only when it is known to be', () => {
  for (const command of [
    'pairing watch',
    'devices revoke',
    'node exec',
    'ca export',
    'audit list',
    'status',
    'why',
  ])
    assert.equal(worksRemotely(command), true, command);
  for (const command of [
    'daemon',
    'daemon install',
    'console',
    'backup',
    'restore',
    'doctor',
    'secrets rekey',
    'registry move',
  ])
    assert.equal(worksRemotely(command), false, command);
  for (const command of [
    'devices set-role',
    'ca rotate-root',
    'node run',
    'node install',
    'node status',
    'pair',
    'renew',
    'statuses',
  ])
    assert.equal(worksRemotely(command), false, command);
});
