import assert from 'node:assert/strict';
import { resolve } from 'node:path';
import { test } from 'node:test';
import { followUp, type Side, withFollowUps } from './cli.ts';
import { resolveHome } from './home.ts';
import { remoteOf, worksRemotely } from './remote.ts';
import { recorded } from './testing/recorded-run.ts';

test('--home comes before PALYRA_HOME, and that before ~/.palyra', () => {
  const { invocation } = recorded({ palyraHome: '/from/env' });
  assert.equal(resolveHome('/given', invocation).path, '/given');
  assert.equal(resolveHome(undefined, invocation).path, '/from/env');
  assert.equal(resolveHome(undefined, recorded().invocation).path, '/home/somebody/.palyra');
});

test('daemon and device have a folder each in one home', () => {
  const home = resolveHome('/h', recorded().invocation);
  assert.equal(home.adminSocket, '/h/daemon/admin.sock');
  assert.equal(home.deviceSecrets, '/h/device/secrets');
  assert.equal(home.deviceMasterKey, '/h/device/master.key');
});

test('a follow-up command names the home only when it is not the usual one', () => {
  const { invocation } = recorded();
  const command = (home: string | undefined) =>
    followUp({ invocation, home: resolveHome(home, invocation) }, 'pairing list');
  assert.equal(command(undefined), 'palyra pairing list');
  assert.equal(command('/home/somebody/.palyra'), 'palyra pairing list');
  assert.equal(command('/srv/my home'), "palyra pairing list --home '/srv/my home'");
  assert.equal(command('x'), `palyra pairing list --home ${resolve('x')}`);
});

test('in a checkout the follow-up command is npx, with the path as it was given', () => {
  const { invocation } = recorded({ program: 'npx palyra' });
  const cli = { invocation, home: resolveHome('.palyra', invocation) };
  assert.equal(followUp(cli, 'pair 127.0.0.1:7443'), 'npx palyra pair 127.0.0.1:7443 --home .palyra');
});

test("commands in the library's messages become the ones that work here", () => {
  const { invocation } = recorded({ program: 'npx palyra' });
  const cli = (side: Side) => ({ invocation, home: resolveHome('/h', invocation), side });
  for (const [side, message, expected] of [
    ['operator', 'See: palyra devices list', 'See: npx palyra devices list --home /h'],
    ['operator', 'Start it: palyra daemon (refused)', 'Start it: npx palyra daemon --home /h (refused)'],
    [
      'operator',
      'or run: palyra ca rotate-root activate --force',
      'or run: npx palyra ca rotate-root activate --force --home /h',
    ],
    ['operator', 'palyra pairing reject ID (see', 'npx palyra pairing reject ID --home /h (see'],
    ['device', 'palyra pair ADDRESS --new-identity', 'npx palyra pair ADDRESS --new-identity --home /h'],
    ['device', 'the same `palyra pair` command', 'the same `npx palyra pair --home /h` command'],
    ['device', 'device: palyra renew --recover, or', 'device: npx palyra renew --recover --home /h, or'],
    ['device', 'the palyra-x.internal domain', 'the palyra-x.internal domain'],
    ['operator', 'See: npx palyra status --home /h', 'See: npx palyra status --home /h'],
  ] as const) {
    assert.equal(withFollowUps(cli(side), message), expected);
  }
});

test('a command for the other side is left alone, because it is for another machine', () => {
  const { invocation } = recorded({ program: 'npx palyra' });
  const home = resolveHome('/h', invocation);
  for (const [side, message] of [
    ['device', 'ask for a new code (there: palyra pairing code).'],
    ['device', 'The operator approves it with: palyra pairing approve ID'],
    ['operator', 'On the device: palyra pair ADDRESS --new-identity'],
    ['operator', 'On the device, run: palyra node run'],
    ['operator', 'On the device: palyra renew --recover'],
  ] as const) {
    assert.equal(withFollowUps({ invocation, home, side }, message), message);
  }
});

test('with --remote, follow-up commands are remote where they can be, and said as of the daemon’s machine where not', () => {
  const { invocation } = recorded();
  const remote = remoteOf({ remoteAddress: 'door.example:7444' })!;
  const cli = { invocation, home: resolveHome('/h', invocation), side: 'operator' as const, remote };
  for (const [message, expected] of [
    [
      'See: palyra devices list',
      'See: palyra --remote --remote-address door.example:7444 devices list --home /h',
    ],
    ['There: palyra devices set-role DEVICE operator', 'There: palyra devices set-role DEVICE operator'],
    ['Start it: palyra daemon', 'Start it: palyra daemon'],
    ['Here: palyra renew --recover', 'Here: palyra renew --recover --home /h'],
  ] as const) {
    assert.equal(withFollowUps(cli, message), expected);
  }
  assert.equal(remoteOf({}), undefined);
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
