// A user without a home, a deleted folder, unusable files: the command reports each one as something for the person to
// fix, not as an internal failure.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import { test } from 'node:test';
import { palyraProgram as bin } from '../../../tests/testing/palyra-process.ts';
import { runRecorded, temporaryFolder } from './testing/recorded-run.ts';

test('a user without HOME whom the system does not know is told to name a home', (t) => {
  const as = (...args: string[]) =>
    spawnSync('setpriv', ['--reuid=54321', '--clear-groups', process.execPath, bin, ...args], {
      env: { PATH: process.env.PATH },
      encoding: 'utf8',
      cwd: '/',
    });
  if (spawnSync('setpriv', ['--reuid=54321', '--clear-groups', process.execPath, '--version']).status !== 0)
    return t.skip('this user may not run as another one');
  const version = as('--version');
  assert.deepEqual([version.status, version.stderr], [0, '']);
  const status = as('status');
  assert.equal(status.status, 2, status.stderr);
  assert.match(status.stderr, /HOME is not set.*--home DIR.*\[USAGE\]/);
  assert.equal(as('doctor', '--home', '/tmp/not-there').status, 1);
});

test('without a home, commands that need none work, and mistakes are reported', async () => {
  const ran = (...args: string[]) => runRecorded({ args, userHome: undefined });
  assert.equal((await ran('--help')).exitCode, 0);
  assert.equal((await ran('completion', 'bash')).exitCode, 0);
  assert.equal((await ran('complete', '--', 'palyra', 'devices', 'show', '')).exitCode, 0);
  assert.match((await ran('frobnicate')).stderr, /unknown command/);
  assert.match((await ran('daemon', 'install', '--user')).stderr, /HOME is not set/);
  assert.match((await ran('restore', '/nowhere', '--revoked', 'x')).stderr, /HOME is not set/);
});

test('a command reports that its working folder has been deleted', async (t) => {
  const folder = join(await temporaryFolder(t), 'gone');
  await mkdir(folder);
  const ran = spawnSync(
    'sh',
    [
      '-c',
      'cd "$1" && rmdir "$1" && exec "$2" "$3" doctor --home relative',
      '-',
      folder,
      process.execPath,
      bin,
    ],
    {
      encoding: 'utf8',
    },
  );
  assert.equal(ran.status, 1, ran.stderr);
  assert.match(ran.stderr, /^error: The current folder no longer exists\..*\[FILE_FAILED\]\n$/);
});

test('an unusable file or folder on the command line is named, with its option', async (t) => {
  const folder = await temporaryFolder(t);
  const none = join(folder, 'none');
  const file = join(folder, 'file');
  await writeFile(file, 'text', { mode: 0o600 });
  const inFile = join(file, 'inside');
  const cases: [args: string[], option: string | undefined, path: string][] = [
    [['daemon', '--config', none], '--config', none],
    [['daemon', '--config', folder], undefined, folder],
    [['daemon', '--config', inFile], undefined, inFile],
    [['doctor', '--config', none], '--config', none],
    [['restore', none, '--passphrase-file', file], undefined, none],
    [['restore', folder, '--passphrase-file', file], undefined, folder],
    [['restore', file, '--passphrase-file', none], '--passphrase-file', none],
    [['restore', file, '--passphrase-file', folder], '--passphrase-file', folder],
    [['restore', file, '--passphrase-file', inFile], '--passphrase-file', inFile],
    [['pair', '--qr', none], '--qr', none],
    [['pair', '--qr', folder], '--qr', folder],
    [['pair', '--qr', inFile], '--qr', inFile],
    [['daemon', 'install', '--user', '--root', file], undefined, file],
    [['daemon', 'install', '--user', '--root', '/proc/palyra'], undefined, '/proc/palyra'],
  ];
  for (const [args, option, path] of cases) {
    const { stdout, stderr } = await runRecorded({ args: ['--home', join(folder, 'home'), ...args] });
    const said = stdout + stderr;
    const what = `palyra ${args.join(' ')}: ${said}`;
    assert.ok(said.includes(path), what);
    if (option) assert.ok(said.includes(option), what);
    assert.doesNotMatch(said, /INTERNAL|report it|\n {4}at /, what);
  }
  for (const home of [file, inFile, '/proc/palyra', join('/dev/null', 'home')])
    for (const command of [
      ['daemon'],
      ['status'],
      ['doctor'],
      ['node', 'status'],
      ['pair', '192.0.2.1'],
      ['secrets', 'rekey'],
    ]) {
      const { stdout, stderr, exitCode } = await runRecorded({ args: ['--home', home, ...command] });
      const what = `palyra ${command.join(' ')} --home ${home}: ${stdout}${stderr}`;
      assert.notEqual(exitCode, 0, what);
      assert.ok((stdout + stderr).includes(home), what);
      assert.doesNotMatch(stdout + stderr, /INTERNAL|report it/, what);
    }
});
