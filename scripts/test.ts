// `npm test`: runs every *.test.ts under node:test. First installs the Debian packages that the tests need, if allowed.
// scripts/test/ runs the files.

import { spawnSync } from 'node:child_process';
import { existsSync, globSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import process from 'node:process';
import { buildPalyra } from './build-palyra.ts';
import { cacheFolder } from './cache-folder.ts';
import { type BuiltTests, buildTests, notBuilt } from './test/build-tests.ts';
import { usualPace } from './test/pace.ts';
import { runTests } from './test/run.ts';

/** Commands, and the Debian packages that have them. Tests without theirs fail or skip, and name the package. */
const needed: readonly (readonly [command: string, debian: string])[] = [
  ['openssl', 'openssl'],
  ['curl', 'curl'],
  ['chromium', 'chromium'],
  ['chromium-headless-shell', 'chromium-headless-shell'],
  ['faketime', 'faketime'],
  ['ip', 'iproute2'],
  ['nginx', 'nginx-light'],
  ['haproxy', 'haproxy'],
  ['caddy', 'caddy'],
  ['tinyproxy', 'tinyproxy-bin'],
  ['gtlsclient', 'ngtcp2-client'],
  ['zsh', 'zsh'],
  ['fish', 'fish'],
  ['softhsm2-util', 'softhsm2'],
  ['cc', 'gcc'],
  ['spin', 'spin'],
  ['go', 'golang-go'],
  ['certutil', 'libnss3-tools'],
  ['promtool', 'prometheus'],
  ['age', 'age'],
  ['avahi-daemon', 'avahi-daemon'],
  ['avahi-browse', 'avahi-utils'],
  ['dbus-daemon', 'dbus-daemon'],
  ['dbus-send', 'dbus-bin'],
  ['gnome-keyring-daemon', 'gnome-keyring'],
  ['notify-send', 'libnotify-bin'],
  ['dunst', 'dunst'],
  ['Xvfb', 'xvfb'],
];

const missing = needed.filter(([command]) => !isInPath(command)).map(([, debian]) => debian);
// Debian's own python3: another one may come first in PATH, and would not find Debian's packages.
if (!runs(['/usr/bin/python3', '-c', 'import importlib.util as u; assert u.find_spec("grpc")']))
  missing.push('python3-grpcio');
if (!runs(['/usr/bin/python3', '-c', 'import yaml'])) missing.push('python3-yaml');
for (const [library, debian] of [
  ['grpc', 'golang-google-grpc-dev'],
  ['protobuf', 'golang-google-protobuf-dev'],
] as const)
  if (!existsSync(`/usr/share/gocode/src/google.golang.org/${library}`)) missing.push(debian);
// Debian keeps the server's programs out of PATH.
if (globSync('/usr/lib/postgresql/*/bin/postgres').length === 0) missing.push('postgresql');
if (missing.length > 0) install(missing);
// This module looks for Go when it is loaded.
const { buildAllGo } = await import('../tests/testing/go-program.ts');
buildAllGo((what) => console.error(what));

const words = process.argv.slice(2);
const given = words.filter((each) => !each.startsWith('--'));
/** A numeric option of this runner. Other options go to Node: --test-name-pattern=... */
const own = (name: string, otherwise: number): number => {
  const index = words.findIndex((each) => each.startsWith(`--${name}=`));
  return index < 0 ? otherwise : Number(words.splice(index, 1)[0]!.slice(name.length + 3));
};
const atOnce = own('files-at-once', 0);
const bounds = {
  testMs: own('test-seconds', 240) * 1000,
  idleMs: own('idle-seconds', 120) * 1000,
  fileMs: own('file-seconds', 600) * 1000,
};
const nodeOptions = words.filter((each) => each.startsWith('--'));
/** Long files run first, so that no processor idles at the end. */
const patterns = [
  'tests/soak/*.test.ts',
  'tests/connections/*.test.ts',
  'packages/{signer-pkcs11,transport-*}/src/**/*.test.ts',
  'tests/!(soak|installed|connections)/*.test.ts',
  'packages/!(signer-pkcs11|transport-*)/src/**/*.test.ts',
];
/** They change what a process loads first. */
const alone = new Set(['tests/connections/no-quic.test.ts']);
const files = given.length > 0 ? given : patterns.flatMap((pattern) => globSync(pattern).sort());
const env = { PALYRA_TEST_PROGRAM: await buildPalyra(join(cacheFolder, 'palyra')) };
// One or two files load faster than a build takes.
const built = given.length > 0 ? notBuilt : await buildIfPossible(files);
const stop = new AbortController();
// Test files run in their own sessions, which Ctrl-C does not reach.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => stop.abort());
const isGood = await runTests(files, {
  bounds,
  pace: atOnce > 0 ? { least: atOnce, most: atOnce } : usualPace,
  built,
  isAlone: (file) => built === notBuilt || alone.has(file),
  nodeOptions,
  env,
  looksAround: given.length === 0,
  output: process.stdout,
  stop: stop.signal,
});
process.exitCode = isGood ? 0 : 1;

/** A file that does not compile is one failed test. */
async function buildIfPossible(all: readonly string[]): Promise<BuiltTests> {
  try {
    return await buildTests(all, join(cacheFolder, 'tests'));
  } catch (error) {
    console.error(`The test files cannot be built, and run more slowly from their sources: ${error}`);
    return notBuilt;
  }
}

function isInPath(command: string): boolean {
  return (process.env.PATH ?? '').split(delimiter).some((folder) => existsSync(join(folder, command)));
}

function runs([command, ...args]: readonly string[]): boolean {
  return spawnSync(command!, args, { stdio: 'ignore' }).status === 0;
}

function install(packages: readonly string[]): void {
  const list = packages.join(' ');
  if (process.getuid?.() !== 0 || !runs(['apt-get', '--version'])) {
    console.error(`Some tests need Debian packages that are not here. Run: sudo apt-get install ${list}\n`);
    return;
  }
  console.error(`Installing for the tests: ${list}`);
  // Prevents systemd from starting the web servers, because the tests start their own.
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', SYSTEMD_OFFLINE: '1' };
  spawnSync('apt-get', ['update', '-qq'], { stdio: 'inherit', env });
  spawnSync('apt-get', ['install', '-y', '-qq', '--no-install-recommends', ...packages], {
    stdio: 'inherit',
    env,
  });
}
