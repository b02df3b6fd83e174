// `npm run soak -- [--rounds=N] [--seed=N] [FILE...]`: the tests of tests/soak with all their rounds, or N of each. Each
// prints its seed. They run as in `npm test`, but one after the other and with hours to end.

import { globSync } from 'node:fs';
import process from 'node:process';
import { parseArgs } from 'node:util';
import { runTests } from './test/run.ts';

const minutes = 60_000;
const { values, positionals } = parseArgs({
  options: { rounds: { type: 'string', default: '' }, seed: { type: 'string' } },
  allowPositionals: true,
});
const stop = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => stop.abort());
const files = positionals.length > 0 ? positionals : globSync('tests/soak/*.test.ts').sort();
const isGood = await runTests(files, {
  bounds: { testMs: 120 * minutes, idleMs: 1 * minutes, fileMs: 240 * minutes },
  concurrency: 1,
  nodeOptions: [],
  env: { PALYRA_SOAK_ROUNDS: values.rounds, ...(values.seed !== undefined && { PALYRA_SEED: values.seed }) },
  looksAround: false,
  output: process.stdout,
  stop: stop.signal,
});
process.exitCode = isGood ? 0 : 1;
