// The daemon's unit, checked by systemd itself.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdir, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import process from 'node:process';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { IdentityError } from '@palyra/identity';
import { failureOf } from './failure.ts';
import { runRecorded, temporaryFolder } from './testing/recorded-run.ts';

const script = fileURLToPath(new URL('../bin/palyra.js', import.meta.url));
const executable = [process.execPath, script] as const;
const installed = ['/opt/node/bin/node', '/opt/palyra/bin/palyra.js'] as const;
const noAnalyze =
  spawnSync('systemd-analyze', ['--version']).status === 0 ? false : 'systemd-analyze is not installed';

async function printed(args: readonly string[], as: object = {}): Promise<string> {
  const run = await runRecorded({ args: ['daemon', 'install', '--print', ...args], executable, ...as });
  assert.equal(run.exitCode, 0, run.stderr);
  return run.stdout;
}

/** The output of systemd-analyze for the unit, with its exit code. */
async function analyze(t: TestContext, unit: string, ...args: readonly string[]) {
  const file = join(await temporaryFolder(t), 'palyra.service');
  await writeFile(file, unit);
  const { status, stdout, stderr } = spawnSync('systemd-analyze', [...args, file], { encoding: 'utf8' });
  return { status, said: `${stdout}${stderr}` };
}

for (const args of [
  [],
  ['--user'],
  ['--config', '/etc/palyra/config.json', '--home', '/srv/palyra'],
  ['--encrypted-credential', '/etc/credstore.encrypted/palyra'],
  ['--home', `/srv/a "b" $HOME %h 'c' \\d`],
]) {
  test(`systemd accepts the unit for ${args.join(' ') || 'no options'}`, {
    skip: noAnalyze,
  }, async (t) => {
    const { status, said } = await analyze(t, await printed(args), 'verify', '--man=no');
    assert.equal(status, 0, said);
    // It may complain about other units of this machine, but not about ours.
    assert.doesNotMatch(said, /palyra/);
  });
}

test('the system service waits for the network and the time, and restarts while the clock is wrong', async () => {
  const unit = await printed([]);
  assert.match(unit, /^After=network-online\.target time-sync\.target$/m);
  const clockWrong = failureOf(new IdentityError('CLOCK_WRONG', 'a test')).exitCode;
  assert.match(unit, /^Restart=on-failure$/m);
  assert.doesNotMatch(unit, new RegExp(`^RestartPreventExitStatus=.*\\b${clockWrong}\\b`, 'm'));
  assert.doesNotMatch(await printed(['--user']), /^After=/m);
});

test('systemd does find the error in a broken unit', { skip: noAnalyze }, async (t) => {
  const unit = (await printed([])).replace('Type=notify', 'Type=notifies');
  assert.match((await analyze(t, unit, 'verify', '--man=no')).said, /palyra.*notifies/);
});

test('the system unit limits the damage that the daemon could do', { skip: noAnalyze }, async (t) => {
  const { said } = await analyze(t, await printed([]), 'security', '--offline=yes');
  const exposure = Number(/exposure level for palyra\.service: ([\d.]+)/.exec(said)?.[1]);
  assert.ok(exposure <= 2, said);
});

test('any path is one word to systemd', async () => {
  const unit = await printed(['--home', `/srv/a "b" $HOME %h \\d`]);
  assert.ok(unit.includes(String.raw`--home "/srv/a \"b\" $$HOME %%h \\d" --no-code`), unit);
  assert.ok(unit.includes(String.raw`ReadWritePaths="/srv/a \"b\" $HOME %%h \\d"`), unit);
  const refused = await runRecorded({
    args: ['daemon', 'install', '--print', '--home', '/srv/a\nExecStartPre=/bin/true'],
    executable,
  });
  assert.equal(refused.exitCode, 2);
  assert.match(refused.stderr, /cannot contain the path/);
});

test('the unit starts the palyra that installed it, with the same Node', async () => {
  assert.ok(
    (await printed([])).includes(
      `\nExecStart=${process.execPath} ${script} daemon --home /var/lib/palyra --no-code\n`,
    ),
  );
});

test('an installation for the machine prints the next commands, and can be removed', async (t) => {
  const root = await temporaryFolder(t);
  const elsewhere = ['/opt/node/bin/node', '/opt/palyra/bin/palyra.js'] as const;
  const run = (...args: string[]) =>
    runRecorded({ args: ['daemon', ...args, '--root', root], executable: elsewhere });
  const installed = await run('install', '--credential', '/etc/palyra/master-key');
  assert.equal(installed.exitCode, 0, installed.stderr);
  for (const part of [
    join(root, 'etc/systemd/system/palyra.service'),
    'systemctl enable --now palyra.service',
    'Start it in the image, now',
    'systemd-sysusers /etc/sysusers.d/palyra.conf',
    '/run/credentials/palyra.service/master-key',
    'sudo -u palyra palyra pairing code --home /var/lib/palyra',
  ]) {
    assert.ok(installed.stdout.includes(part), `${part} in\n${installed.stdout}`);
  }
  const unit = await readFile(join(root, 'etc/systemd/system/palyra.service'), 'utf8');
  assert.match(unit, /\nLoadCredential=master-key:\/etc\/palyra\/master-key\n/);
  assert.match(unit, /\nUser=palyra\n(.+\n)+StateDirectory=palyra\n/);
  const user = await readFile(join(root, 'etc/sysusers.d/palyra.conf'), 'utf8');
  assert.equal(user, 'u palyra - "Palyra Identity" /var/lib/palyra\n');
  assert.equal((await run('uninstall')).exitCode, 0);
  const again = await run('uninstall', '--json');
  assert.equal(JSON.parse(again.stdout).error.code, 'NOTHING_FOUND');
});

test('the system unit ignores PALYRA_HOME', async () => {
  assert.match(await printed([], { palyraHome: '/srv/mine' }), / --home \/var\/lib\/palyra /);
  assert.match(await printed(['--user'], { palyraHome: '/srv/mine' }), / --home \/srv\/mine /);
});

test('a home that does not belong to the user of the service is refused, with the command that fixes it', async (t) => {
  const root = await temporaryFolder(t);
  const home = join(root, 'srv/palyra');
  await mkdir(home, { recursive: true });
  await mkdir(join(root, 'etc'));
  const owner = (await stat(home)).uid;
  const install = async (users: string) => {
    await writeFile(join(root, 'etc/passwd'), users);
    const args = ['daemon', 'install', '--root', root, '--home', '/srv/palyra'];
    return runRecorded({ args, executable: ['/opt/node/bin/node', '/opt/palyra/bin/palyra.js'] });
  };
  const another = await install(`root:x:0:0::/root:/bin/sh\npalyra:x:${owner + 1}:999::/:/bin/false\n`);
  assert.equal(another.exitCode, 2, another.stderr);
  assert.ok(another.stderr.includes(`run: chown -R palyra: ${home} [USAGE]`), another.stderr);
  const none = await install('root:x:0:0::/root:/bin/sh\n');
  assert.ok(
    none.stderr.includes(`run: useradd --system palyra && chown -R palyra: ${home} [USAGE]`),
    none.stderr,
  );
  const its = await install(`palyra:x:${owner}:999::/:/bin/false\n`);
  assert.equal(its.exitCode, 0, its.stderr);
});

test('an installation with --user needs no root', async (t) => {
  const userHome = await temporaryFolder(t);
  const { exitCode, stdout } = await runRecorded({
    args: ['daemon', 'install', '--user', '--json'],
    userHome,
    executable,
  });
  assert.equal(exitCode, 0);
  const { unit, home } = JSON.parse(stdout);
  assert.equal(unit, join(userHome, '.config/systemd/user/palyra.service'));
  assert.equal(home, join(userHome, '.palyra'));
  assert.doesNotMatch(await readFile(unit, 'utf8'), /^(User|ProtectSystem|CapabilityBoundingSet)=/m);
});

for (const [why, args, as] of [
  ['needs root', [], {}],
  ['cannot access', ['--home', '/home/me/palyra'], { isRoot: true }],
  ['cannot access', ['--config', '/root/config.json'], { isRoot: true }],
  ['not both', ['--print', '--credential', '/a', '--encrypted-credential', '/b'], {}],
  ['leave out --user', ['--print', '--user', '--credential', '/a'], {}],
] as const) {
  test(`daemon install ${args.join(' ')} is refused${'isRoot' in as ? ' to root' : ''}: ${why}`, async () => {
    const { exitCode, stderr } = await runRecorded({ args: ['daemon', 'install', ...args], ...as });
    assert.equal(exitCode, 2, stderr);
    assert.ok(stderr.includes(why === 'needs root' ? 'Only root can install' : why), stderr);
  });
}

test('systemd starts exactly these paths of Node and the script, or they are refused', {
  skip: noAnalyze,
}, async (t) => {
  const parent = await temporaryFolder(t);
  const printedFor = async (name: string) => {
    const folder = join(parent, name);
    await mkdir(folder);
    await symlink('/bin/true', join(folder, 'node'));
    return runRecorded({
      args: ['daemon', 'install', '--print'],
      executable: [join(folder, 'node'), join(folder, 'palyra.js')],
    });
  };
  const { status, said } = await analyze(
    t,
    (await printedFor('a $HOME $$ %h ;')).stdout,
    'verify',
    '--man=no',
  );
  assert.equal(status, 0, said);
  assert.doesNotMatch(said, /palyra\.service/);
  for (const name of ['a"b', "a'b", 'a\\b', 'a\nb']) {
    const { exitCode, stderr } = await printedFor(name);
    assert.equal(exitCode, 2, name);
    assert.match(stderr, /cannot contain the path/);
  }
});

test('a credential is refused if the unit would shorten its path or join it with the next line', async () => {
  for (const path of ['/etc/key\\', '/etc/key ', '/etc/key\n[Service]', '/etc/key\u2028']) {
    const args = ['daemon', 'install', '--print', '--credential', path];
    const { exitCode, stderr } = await runRecorded({ args, executable });
    assert.equal(exitCode, 2, path);
    assert.match(stderr, /cannot contain the path/);
  }
});

test('the commands to run quote each path for a shell', async (t) => {
  const root = join(await temporaryFolder(t), '; touch x');
  const home = "/srv/a; $(touch y) 'b'";
  const { exitCode, stdout } = await runRecorded({
    args: ['node', 'install', '--root', root, '--home', home, '--out', '/srv/c; d', '--json'],
    executable: ['/opt/node/bin/node', '/opt/palyra/bin/palyra.js'],
  });
  assert.equal(exitCode, 0, stdout);
  const { next, unit } = JSON.parse(stdout);
  assert.ok(next.includes('systemd-sysusers /etc/sysusers.d/palyra.conf'), `${next}`);
  assert.ok(next.includes("install -d -o palyra '/srv/c; d'"), next);
  assert.ok((await readFile(unit, 'utf8')).includes(`--home "${home.replace('$', '$$$$')}"`));
});

test('everybody can read the unit, under every umask', async (t) => {
  const root = await temporaryFolder(t);
  const umask = process.umask(0o077);
  t.after(() => process.umask(umask));
  const run = await runRecorded({ args: ['daemon', 'install', '--root', root], executable: installed });
  assert.equal(run.exitCode, 0, run.stderr);
  for (const file of ['systemd/system/palyra.service', 'sysusers.d/palyra.conf'])
    assert.equal((await stat(join(root, 'etc', file))).mode & 0o777, 0o644);
});

test('install writes through no link, such as that of a masked unit', async (t) => {
  const root = await temporaryFolder(t);
  const units = join(root, 'etc/systemd/system');
  await mkdir(units, { recursive: true });
  for (const [target, said] of [
    ['/dev/null', /systemctl unmask palyra\.service/],
    [join(root, 'elsewhere'), /is a link to/],
  ] as const) {
    await rm(join(units, 'palyra.service'), { force: true });
    await symlink(target, join(units, 'palyra.service'));
    const run = await runRecorded({ args: ['daemon', 'install', '--root', root], executable: installed });
    assert.equal(run.exitCode, 2, run.stdout);
    assert.match(run.stderr, said);
  }
  assert.equal(await stat(join(root, 'elsewhere')).catch(() => 'nothing'), 'nothing');
});

test('a link in the folder of an image that leads to files of this machine is refused', async (t) => {
  const [root, machine] = [await temporaryFolder(t), await temporaryFolder(t)];
  for (const [link, target] of [
    ['etc', machine],
    ['etc', join(machine, 'missing')],
    ['etc/systemd', machine],
    ['etc/systemd', '../../'],
  ] as const) {
    await rm(join(root, 'etc'), { recursive: true, force: true });
    await mkdir(dirname(join(root, link)), { recursive: true });
    await symlink(target, join(root, link));
    const run = await runRecorded({ args: ['daemon', 'install', '--root', root], executable: installed });
    assert.equal(run.exitCode, 2, `${link} ${target}`);
    assert.match(run.stderr, /leads out of/);
  }
  assert.deepEqual(await readdir(machine), []);
  await rm(join(root, 'etc/systemd'));
  await symlink(machine, join(root, 'etc/systemd'));
  await mkdir(join(machine, 'system'));
  await writeFile(join(machine, 'system/palyra.service'), "the machine's");
  const removal = await runRecorded({ args: ['daemon', 'uninstall', '--root', root] });
  assert.match(removal.stderr, /leads out of/);
  assert.equal(await readFile(join(machine, 'system/palyra.service'), 'utf8'), "the machine's");
  await rm(join(root, 'etc'), { recursive: true });
  await mkdir(join(root, 'usr/etc'), { recursive: true });
  await symlink('usr/etc', join(root, 'etc'));
  const run = await runRecorded({ args: ['daemon', 'install', '--root', root], executable: installed });
  assert.equal(run.exitCode, 0, run.stderr);
});
