// `npm test`: every *.test.ts under node:test, with what the tests need of Debian installed first where that is allowed.

import { spawnSync } from 'node:child_process';
import { globSync } from 'node:fs';
import { join } from 'node:path';

/** Command and the Debian package that brings it. Tests that miss theirs fail or skip loudly and name it. */
const needed: readonly (readonly [command: readonly string[], debian: string])[] = [
  [['openssl', 'version'], 'openssl'],
  [['curl', '--version'], 'curl'],
  [['chromium', '--version'], 'chromium'],
  [['faketime', '--version'], 'faketime'],
  [['ip', '-Version'], 'iproute2'],
  [['nginx', '-v'], 'nginx-light'],
  [['haproxy', '-v'], 'haproxy'],
  [['gtlsclient', '--help'], 'ngtcp2-client'],
  [['zsh', '--version'], 'zsh'],
  [['fish', '--version'], 'fish'],
  [['softhsm2-util', '--version'], 'softhsm2'],
  [['cc', '--version'], 'gcc'],
  // Debian's own python3: another one may come first in PATH, and would not find Debian's packages.
  [['/usr/bin/python3', '-c', 'import grpc'], 'python3-grpcio'],
];

const missing = needed.filter(([command]) => !runs(command)).map(([, debian]) => debian);
if (missing.length > 0) install(missing);

const patterns = process.argv.slice(2).filter((each) => !each.startsWith('--'));
const options = process.argv.slice(2).filter((each) => each.startsWith('--'));
const files =
  patterns.length > 0 ? patterns : globSync(['packages/*/src/**/*.test.ts', 'tests/**/*.test.ts']).sort();
const run = spawnSync(
  process.execPath,
  [
    '--disable-warning=ExperimentalWarning',
    '--test',
    '--test-concurrency=2',
    '--test-timeout=600000',
    ...options,
    ...files,
  ],
  {
    stdio: 'inherit',
    // Hundreds of processes load the same modules: they share what one of them compiled, and so does the next run.
    env: { ...process.env, NODE_COMPILE_CACHE: join(import.meta.dirname, '../node_modules/.cache/compiled') },
  },
);
process.exit(run.status ?? 1);

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
  // Offline, so that systemd does not start the web servers: the tests start their own.
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', SYSTEMD_OFFLINE: '1' };
  spawnSync('apt-get', ['update', '-qq'], { stdio: 'inherit', env });
  spawnSync('apt-get', ['install', '-y', '-qq', '--no-install-recommends', ...packages], {
    stdio: 'inherit',
    env,
  });
}
