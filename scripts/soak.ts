// `npm run soak -- [--rounds=N] [--seed=N] [FILE...]`: runs the tests of tests/soak, and all others that use tests/testing/soak.ts,
// with all their rounds and variants, or N rounds of each. Each test prints its seed. They run as in `npm test`, but one after the
// other and with a limit of hours. It also runs tests/installed, which build, download and install for minutes, and which `npm test`
// leaves out.
// `npm run soak -- connections [OPTION...]`: runs soak/connections.ts, which is not a test.
// `npm run soak -- growth [WORK...] [OPTION...]`: measures the figures `soak.*` of `npm run bench` with all their rounds, for hours, or
// only these works of them. With `--save`, each work is kept as soon as it is done.

import { spawnSync } from 'node:child_process';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { parseArgs } from 'node:util';
import { runTests } from './test/run.ts';

if (process.argv[2] === 'connections') {
  const program = join(import.meta.dirname, 'soak/connections.ts');
  const options = ['--disable-warning=ExperimentalWarning', program, ...process.argv.slice(3)];
  process.exit(spawnSync(process.execPath, options, { stdio: 'inherit' }).status ?? 1);
}

if (process.argv[2] === 'growth') {
  const program = join(import.meta.dirname, '../bench/main.ts');
  const given = process.argv.slice(3);
  const works = given.filter((each) => !each.startsWith('-'));
  const more = given.filter((each) => each.startsWith('-'));
  const options = ['--disable-warning=ExperimentalWarning', program, '--only=soak', ...more];
  const env = {
    ...process.env,
    PALYRA_SOAK_SHARE: '1',
    ...(works.length > 0 && { PALYRA_SOAK_WORKS: works.join() }),
    ...(more.includes('--save') && { PALYRA_SOAK_KEEP: '1' }),
  };
  process.exit(spawnSync(process.execPath, options, { stdio: 'inherit', env }).status ?? 1);
}

const minutes = 60_000;
const { values, positionals } = parseArgs({
  options: { rounds: { type: 'string', default: '' }, seed: { type: 'string' } },
  allowPositionals: true,
});
const stop = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => stop.abort());
const files =
  positionals.length > 0
    ? positionals
    : [...new Set([...globSync('tests/{soak,installed}/*.test.ts'), ...usersOfSoak()])].sort();
const isGood = await runTests(files, {
  bounds: { testMs: 120 * minutes, idleMs: 1 * minutes, fileMs: 240 * minutes },
  pace: { least: 1, most: 1 },
  nodeOptions: [],
  env: { PALYRA_SOAK_ROUNDS: values.rounds, ...(values.seed !== undefined && { PALYRA_SEED: values.seed }) },
  looksAround: false,
  output: process.stdout,
  stop: stop.signal,
});
process.exitCode = isGood ? 0 : 1;

function usersOfSoak(): string[] {
  return globSync(['tests/*/*.test.ts', 'packages/*/src/**/*.test.ts']).filter((file) =>
    /from '[^']*\/soak\.ts'/.test(readFileSync(file, 'utf8')),
  );
}
