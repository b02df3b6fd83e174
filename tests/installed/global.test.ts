// `npm install -g` of the packed command with the machine's own npm, as in docs/operations.md.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, globSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { run, unableWithout } from '../testing/installed.ts';
import { temporaryFolder } from '../testing/temporary-folder.ts';

const unable = unableWithout({ npm: 'npm', setpriv: 'util-linux' });

let prefix: string;
// A test instead of a hook, because it takes minutes.
test('npm run pack and npm install -g', { skip: unable }, () => {
  const packed = temporaryFolder();
  run('npm', ['run', '--silent', 'pack', '--', packed]);
  prefix = join(temporaryFolder(), 'usr');
  chmodSync(join(prefix, '..'), 0o755);
  const [tarball] = globSync(join(packed, 'palyra-cli-*.tgz'));
  run('npm', ['install', '-g', '--silent', '--prefix', prefix, tarball!], {
    PATH: '/usr/local/bin:/usr/bin:/bin',
  });
});

/** Runs as another user, with a minimal environment. */
function palyra(...args: readonly string[]) {
  return spawnSync(
    'setpriv',
    ['--reuid=54321', '--regid=54321', '--clear-groups', join(prefix, 'bin/palyra'), ...args],
    {
      encoding: 'utf8',
      env: { PATH: '/usr/sbin:/usr/bin:/bin' },
      cwd: '/',
    },
  );
}

test('it installs only one command', { skip: unable }, () => {
  assert.deepEqual(readdirSync(join(prefix, 'bin')), ['palyra']);
});

test('another user and a unit run it on the Node that was installed with it', { skip: unable }, () => {
  const { stdout, stderr } = palyra('--version');
  assert.match(stdout, /^\d+\.\d+\.\d+\n$/, stderr);
  const unit = palyra('daemon', 'install', '--print');
  assert.ok(
    unit.stdout.includes(
      `ExecStart=${prefix}/lib/node_modules/@palyra/cli/node_modules/node-linux-${process.arch}/bin/node ${prefix}/lib/node_modules/@palyra/cli/bin/palyra.js `,
    ),
    unit.stdout,
  );
});

test('it contains everything that a daemon needs', { skip: unable }, () => {
  const home = join(temporaryFolder(), 'home');
  chmodSync(join(home, '..'), 0o777);
  const { stdout } = palyra('daemon', '--check', '--home', home, '--json');
  assert.doesNotMatch(stdout, /QUIC_UNAVAILABLE|"problem"/);
});
