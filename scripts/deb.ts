// `npm run deb -- FOLDER`: builds a Debian package of the command, with its own Node and the daemon's unit. Of Debian's
// tools it needs only dpkg-deb.

import { spawnSync } from 'node:child_process';
import {
  cpSync,
  globSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import process from 'node:process';
import { daemonService } from '../packages/cli/src/installed-service.ts';
import { systemdUnit } from '../packages/cli/src/systemd-unit.ts';
import { installationFolder, installedExecutable, run, stageInstallation } from './stage-installation.ts';

const repository = join(import.meta.dirname, '..');
const scripts = join(import.meta.dirname, 'debian');
const architectures: Readonly<Record<string, string>> = { x64: 'amd64', arm64: 'arm64' };

const target = process.argv[2];
const architecture = architectures[process.arch];
if (
  target === undefined ||
  target.startsWith('-') ||
  process.platform !== 'linux' ||
  architecture === undefined
) {
  console.error('Name the folder for the package, on Linux (x64 or arm64): npm run deb -- FOLDER');
  process.exit(2);
}
if (spawnSync('dpkg-deb', ['--version']).status !== 0) {
  console.error('dpkg-deb is not installed (Debian package: dpkg).');
  process.exit(1);
}
// Set explicitly, so that the package is the same under every umask.
process.umask(0o022);
const root = mkdtempSync(join(tmpdir(), 'palyra-deb-'));
try {
  stageInstallation(root);
  place('usr/bin');
  symlinkSync(`..${installationFolder.slice('/usr'.length)}/bin/palyra`, join(root, 'usr/bin/palyra'));
  place('usr/lib/systemd/system');
  const unit = systemdUnit(
    daemonService({ scope: 'system', executable: installedExecutable, home: '/var/lib/palyra' }),
  );
  writeFileSync(join(root, 'usr/lib/systemd/system/palyra.service'), unit);
  const documents = place('usr/share/doc/palyra');
  cpSync(join(repository, 'docs/operations.md'), join(documents, 'operations.md'));
  const licence = readFileSync(join(repository, 'LICENSE'), 'utf8');
  writeFileSync(
    join(documents, 'copyright'),
    `${licence}\nLicences of the other contents: ${installationFolder}/dist/LICENSES.txt and ${installationFolder}/node_modules.\n`,
  );
  const sizeKiB = Math.ceil(sizeOf(root) / 1024);
  place('DEBIAN');
  for (const name of ['postinst', 'prerm', 'postrm']) cpSync(join(scripts, name), join(root, 'DEBIAN', name));
  const { version } = JSON.parse(readFileSync(join(repository, 'package.json'), 'utf8'));
  writeFileSync(join(root, 'DEBIAN/control'), control(version, architecture, sizeKiB));
  mkdirSync(target, { recursive: true });
  const file = join(resolve(target), `palyra_${version}_${architecture}.deb`);
  run('dpkg-deb', '--root-owner-group', '-Zxz', '-z1', '--build', root, file);
} finally {
  rmSync(root, { recursive: true, force: true });
}

function place(folder: string): string {
  mkdirSync(join(root, folder), { recursive: true });
  return join(root, folder);
}

function sizeOf(folder: string): number {
  const sizes = globSync('**', { cwd: folder }).map((path) => lstatSync(join(folder, path)).size);
  return sizes.reduce((sum, size) => sum + size, 0);
}

function control(version: string, architecture: string, sizeKiB: number): string {
  return `Package: palyra
Version: ${version}
Architecture: ${architecture}
Installed-Size: ${sizeKiB}
Maintainer: Palyra Identity maintainers <palyra@localhost>
Section: net
Priority: optional
Depends: libc6 (>= 2.28), libstdc++6, libgcc-s1, libatomic1, adduser
Recommends: systemd
Description: identity for self-hosted daemons
 A private certificate authority that pairs devices by a short code, and
 lets them call over mutual TLS until they are revoked. With a Node of its
 own. The service starts when it is enabled: systemctl enable --now palyra
`;
}
