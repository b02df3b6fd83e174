// A year of a daemon and 200 devices: they sleep, move, crash, lose answers, have wrong clocks, are revoked, reinstalled
// and paired anew; the daemon crashes, rotates its CAs and is restored twice. A run that failed is repeated with the seed
// that it printed: PALYRA_SEED=n. (What is in tests/year: docs/architecture.md, "A simulated year".)

import assert from 'node:assert/strict';
import { access, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { Invariants } from './year/invariants.ts';
import { simulateYear } from './year/year.ts';

const given = process.env.PALYRA_SEED;
const seed = given === undefined ? Math.floor(Math.random() * 2 ** 32) : Number(given);

/** In memory where there is such a folder: this is not about the speed of disks. */
async function scratch(t: TestContext): Promise<string> {
  const memory = '/dev/shm';
  const parent = await access(memory).then(
    () => memory,
    () => tmpdir(),
  );
  const folder = await mkdtemp(join(parent, 'palyra-year-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

async function simulate(t: TestContext, size: { devices: number; days: number }): Promise<Invariants> {
  try {
    return await simulateYear({ seed, ...size, folder: await scratch(t) });
  } catch (cause) {
    throw new Error(`The year failed; to repeat it: PALYRA_SEED=${seed}`, { cause });
  }
}

test('through a year of mishaps nobody is locked out for good and nothing that was shut out comes back', async (t) => {
  const year = await simulate(t, { devices: 200, days: 365 });
  const least: Readonly<Record<string, number>> = {
    renewed: 2000,
    recovered: 200,
    paired: 200,
    slept: 500,
    moved: 500,
    'clock went wrong': 200,
    'answer lost': 100,
    'device crashed': 100,
    'daemon crashed': 5,
    'daemon started': 12,
    'device revoked': 3,
    'certificate revoked': 3,
    'approved known': 5,
    'key replaced': 2,
    'became another device': 3,
    'recovery released': 5,
    restored: 2,
    'root prepared': 1,
    'root activated': 1,
    'root finished': 1,
    'issuing CA made': 5,
    'audit verified': 8,
    'thief refused DEVICE_REVOKED': 1,
    'thief refused DEVICE_NOT_FOUND': 1,
    'thief refused CERTIFICATE_REVOKED': 1,
  };
  t.diagnostic(`seed ${seed}: ${[...year.counts].map(([what, count]) => `${what} ${count}`).join(', ')}`);
  for (const [what, count] of Object.entries(least))
    assert.ok(year.count(what) >= count, `${what}: ${year.count(what)}, seed ${seed}`);
  // Whatever happens to a device, it does not look like a copy of itself.
  assert.equal(year.count('taken for a copy'), 0, `seed ${seed}`);
});

test('the same seed gives the same year', async (t) => {
  const size = { devices: 8, days: 40 };
  assert.equal((await simulate(t, size)).digest(), (await simulate(t, size)).digest(), `seed ${seed}`);
});
