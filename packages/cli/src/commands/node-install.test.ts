// `palyra node install`: the agent's unit, checked by systemd itself.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmod, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { runRecorded, temporaryFolder } from '../testing/recorded-run.ts';
import { closedTo } from './service-install.ts';

const noAnalyze =
  spawnSync('systemd-analyze', ['--version']).status === 0 ? false : 'systemd-analyze is not installed';
const executable = [process.execPath, join(import.meta.dirname, '../../bin/palyra.js')] as const;

async function printed(...args: readonly string[]): Promise<string> {
  const run = await runRecorded({ args: ['node', 'install', '--print', ...args], executable });
  assert.equal(run.exitCode, 0, run.stderr);
  return run.stdout;
}

const hook = `sh -c 'echo "$HOME" %i; systemctl reload nginx'`;
const everything = ['--out', '/etc/nginx/palyra', '--on-renew', hook, '--capabilities', '/etc/palyra/run'];

for (const args of [[], ['--user'], everything, ['--run-as', 'root', '--home', '/var/lib/other']]) {
  test(`systemd accepts the unit for ${args.join(' ') || 'no options'}`, {
    skip: noAnalyze,
  }, async (t) => {
    const file = join(await temporaryFolder(t), 'palyra-node.service');
    await writeFile(file, await printed(...args));
    const { status, stdout, stderr } = spawnSync('systemd-analyze', ['verify', '--man=no', file], {
      encoding: 'utf8',
    });
    assert.equal(status, 0, stderr);
    assert.doesNotMatch(stdout + stderr, /palyra/);
  });
}

test('the unit has each option of node run as one word, and may write their folders', async () => {
  const unit = await printed(...everything, '--transport', 'http2', '--daemon', '-x');
  assert.ok(
    unit.includes(
      ` node run --home /var/lib/palyra --daemon=-x --transport=http2 --capabilities=/etc/palyra/run --out=/etc/nginx/palyra ${String.raw`"--on-renew=sh -c 'echo \"$$HOME\" %%i; systemctl reload nginx'"`}\n`,
    ),
    unit,
  );
  assert.match(unit, /^StateDirectory=palyra$/m);
  assert.match(unit, /^ReadWritePaths=\/etc\/nginx\/palyra$/m);
  assert.match(unit, /^User=palyra$/m);
  assert.match(unit, /^Type=exec$/m);
  assert.doesNotMatch(unit, /WatchdogSec|NotifyAccess/);
});

test('notifications are for a service of a person, which has a desktop', async () => {
  assert.match(await printed('--user', '--notify'), / node run --home \S+ --notify\n/);
  const { exitCode, stderr } = await runRecorded({
    args: ['node', 'install', '--print', '--notify'],
    executable,
  });
  assert.equal(exitCode, 2);
  assert.match(stderr, /--user/);
});

test('a user without a home can print the system unit', async () => {
  for (const service of ['daemon', 'node']) {
    const { exitCode, stdout } = await runRecorded({
      args: [service, 'install', '--print'],
      userHome: undefined,
    });
    assert.equal(exitCode, 0);
    assert.match(stdout, / --home \/var\/lib\/palyra/);
  }
});

test('a unit with --run-as has its own home, and no group or sysusers entry of ours', async (t) => {
  const root = await temporaryFolder(t);
  const args = ['node', 'install', '--root', root, '--run-as', 'root', '--home', '/var/lib/palyra-device'];
  const run = await runRecorded({ args });
  assert.equal(run.exitCode, 0, run.stderr);
  const unit = await readFile(join(root, 'etc/systemd/system/palyra-node.service'), 'utf8');
  assert.match(unit, /^User=root\nStateDirectory=palyra-device$/m);
  assert.doesNotMatch(run.stdout, /sysusers/);
});

test('install prints the next commands, and uninstall keeps the user while the daemon has a unit', async (t) => {
  const root = await temporaryFolder(t);
  const run = async (...args: string[]) => {
    const ran = await runRecorded({ args: [...args, '--root', root] });
    assert.equal(ran.exitCode, 0, ran.stderr);
    return ran.stdout;
  };
  const said = await run('node', 'install', '--out', '/etc/none/palyra');
  for (const part of [
    'systemctl enable --now palyra-node.service',
    'install -d -o palyra /etc/none/palyra',
    'sudo -u palyra palyra pair ADDRESS --home /var/lib/palyra',
  ])
    assert.ok(said.includes(part), `${part} in\n${said}`);
  await run('daemon', 'install');
  const user = () => readFile(join(root, 'etc/sysusers.d/palyra.conf'), 'utf8');
  await run('node', 'uninstall');
  assert.match(await user(), /^u palyra /);
  await run('daemon', 'uninstall');
  await assert.rejects(user);
});

for (const [why, args] of [
  ['Name their folder', ['--on-renew', 'true']],
  ['leave out --run-as', ['--user', '--run-as', 'root']],
  ['is not a user name', ['--run-as', '%i', '--home', '/srv/a']],
  ['is not a user name', ['--run-as', '0', '--home', '/srv/a']],
  ['Name a home for root', ['--run-as', 'root']],
  ['cannot contain', ['--out', '/srv/a', '--on-renew', 'true\nExecStartPre=/bin/false']],
  ['Only root can install', []],
  ['leave out --root', ['--launchd', '--root', '/srv/image']],
  ['cannot access /home/me/run', ['--root', '/nowhere', '--capabilities', '/home/me/run']],
] as const) {
  test(`node install ${JSON.stringify(args.join(' '))} is refused: ${why}`, async () => {
    const { exitCode, stderr } = await runRecorded({ args: ['node', 'install', ...args] });
    assert.equal(exitCode, 2, stderr);
    assert.ok(stderr.includes(why), stderr);
  });
}

test('a palyra that only root can run, as npm installs it under umask 077, is refused as a service', async (t) => {
  const folder = await temporaryFolder(t);
  const script = join(folder, 'palyra.js');
  await writeFile(script, '');
  const service = { scope: 'system', executable: ['/usr/bin/env', script], user: 'palyra' } as const;
  await chmod(folder, 0o700);
  assert.ok((await closedTo(service))?.startsWith(`The user palyra of the service cannot read ${folder}`));
  await chmod(folder, 0o711);
  await chmod(script, 0o600);
  assert.ok((await closedTo(service))?.startsWith(`The user palyra of the service cannot read ${script}`));
  await chmod(script, 0o644);
  for (const open of [service, { ...service, user: 'root' }, { ...service, scope: 'user' }] as const)
    assert.equal(await closedTo(open), undefined);
});
