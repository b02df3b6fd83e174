// `npm run image`: builds an OCI image of the daemon with Debian's buildah. buildah's own files and variables set its
// storage and isolation (storage.conf, BUILDAH_ISOLATION).

import { spawnSync } from 'node:child_process';
import { cpSync, globSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { parseArgs } from 'node:util';
import { run } from './stage-installation.ts';

const scripts = import.meta.dirname;
const { version } = JSON.parse(readFileSync(join(scripts, '../package.json'), 'utf8'));
const { values } = parseArgs({
  options: {
    /** An image of Debian 12 or newer for the first stage. The final image has no base image. */
    base: { type: 'string', default: 'docker.io/library/debian:bookworm-slim' },
    tag: { type: 'string', default: `localhost/palyra:${version}` },
    /** An existing Debian package. */
    deb: { type: 'string' },
  },
});
if (spawnSync('buildah', ['--version']).status !== 0) {
  console.error('buildah is not installed (Debian package: buildah).');
  process.exit(1);
}
const context = mkdtempSync(join(tmpdir(), 'palyra-image-'));
try {
  if (values.deb === undefined) run(process.execPath, join(scripts, 'deb.ts'), context);
  const deb = values.deb ?? join(context, globSync('*.deb', { cwd: context })[0]!);
  cpSync(deb, join(context, 'palyra.deb'));
  cpSync(join(scripts, 'image/collect.sh'), join(context, 'collect.sh'));
  // Not the format "oci", which cannot hold a health check. Podman and Docker accept both.
  const options = ['--format', 'docker', '--build-arg', `BASE=${values.base}`, '--tag', values.tag];
  run('buildah', 'bud', ...options, '--file', join(scripts, 'image/Containerfile'), context);
} finally {
  rmSync(context, { recursive: true, force: true });
}
