// The image: built by Debian's buildah, then started from its own description with a read-only root. Its
// first stage is a Debian made by debootstrap, so that no image registry is needed.

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chownSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, test } from 'node:test';
import { anyPorts, repository, run, unableWithout } from '../testing/installed.ts';
import { temporaryFolder } from '../testing/temporary-folder.ts';

const unable = unableWithout({ buildah: 'buildah', debootstrap: 'debootstrap', unshare: 'util-linux' });
const runner = join(repository, 'tests/testing/run-image.sh');

let env: Readonly<Record<string, string>>;
let root: string;
let home: string;
let config: {
  readonly User: string;
  readonly Entrypoint: readonly string[];
  readonly Cmd: readonly string[];
  readonly Volumes: Readonly<Record<string, object>>;
  readonly Healthcheck: { readonly Test: readonly string[] };
};

// A test instead of a hook, because it takes minutes.
test('npm run image', { skip: unable }, () => {
  const folder = temporaryFolder();
  const storage = join(folder, 'storage.conf');
  writeFileSync(
    storage,
    `[storage]\ndriver = "vfs"\ngraphroot = "${folder}/images"\nrunroot = "${folder}/run"\n`,
  );
  env = { CONTAINERS_STORAGE_CONF: storage, BUILDAH_ISOLATION: 'chroot' };
  const debian = join(folder, 'debian');
  run('debootstrap', ['--variant=minbase', 'bookworm', debian]);
  const buildah = (...args: string[]) => run('buildah', args, env).trim();
  const base = buildah('from', 'scratch');
  buildah('add', '--quiet', base, debian, '/');
  buildah('commit', '--quiet', base, 'localhost/debian');
  const tag = 'localhost/palyra:test';
  run('npm', ['run', '--silent', 'image', '--', '--base', 'localhost/debian', '--tag', tag], env);
  ({ config } = JSON.parse(JSON.parse(buildah('inspect', '--type', 'image', tag)).Config));
  root = buildah('mount', buildah('from', tag));
  home = join(temporaryFolder(), 'home');
  mkdirSync(join(home, 'daemon'), { recursive: true, mode: 0o700 });
  writeFileSync(join(home, 'daemon/config.json'), anyPorts, { mode: 0o600 });
  for (const path of ['', 'daemon', 'daemon/config.json']) chownSync(join(home, path), 65532, 65532);
});
after(() => {
  if (env) spawnSync('buildah', ['umount', '--all'], { env: { ...process.env, ...env } });
});

const inImage = (...command: readonly string[]) =>
  spawnSync('sh', [runner, root, home, ...command], { encoding: 'utf8' });

test('its description: no root, a volume for the home, a health check, and the ports', {
  skip: unable,
}, () => {
  assert.equal(config.User, '65532:65532');
  assert.deepEqual(Object.keys(config.Volumes), ['/var/lib/palyra']);
  assert.deepEqual(config.Healthcheck.Test, ['CMD', '/usr/bin/palyra', 'status']);
});

test('it serves with a read-only root, is healthy only while it serves, and stops on SIGTERM', {
  skip: unable,
}, async (t) => {
  const [, ...health] = config.Healthcheck.Test;
  assert.equal(inImage(...health).status, 7);
  const command = [...config.Entrypoint, ...config.Cmd, '--json'];
  // Each program replaces the one before it, so the daemon gets the signal.
  const daemon = spawn('sh', [runner, root, home, ...command], { stdio: ['ignore', 'pipe', 'inherit'] });
  t.after(() => daemon.kill('SIGKILL'));
  const [line] = await Promise.race([once(createInterface(daemon.stdout), 'line'), once(daemon, 'exit')]);
  assert.match(String(line), /"event":"ready".*"name":"quic"/);
  const healthy = inImage(...health);
  assert.equal(healthy.status, 0, healthy.stderr);
  const node = '/usr/lib/palyra/node_modules/node/bin/node';
  const write = `try { require('fs').writeFileSync('/etc/mine', '') } catch ({ code }) { console.log(code, process.getuid()) }`;
  assert.equal(inImage(node, '-e', write).stdout, 'EROFS 65532\n');
  daemon.kill('SIGTERM');
  assert.deepEqual(await once(daemon, 'exit'), [0, null]);
});

test('it has no shell and no package manager', { skip: unable }, () => {
  for (const program of ['/bin/sh', '/usr/bin/apt-get', '/usr/bin/dpkg'])
    assert.notEqual(inImage(program).status, 0);
});
