// A year of a daemon and 200 devices: they sleep, move, crash, lose answers, have wrong clocks, are revoked, reinstalled
// and paired again; the daemon crashes, rotates its CAs and is restored twice. To repeat a failed run, use the seed
// that it printed. `npm test` has 12 devices, but the whole life of the daemon. (For tests/testing/year see
// docs/architecture.md, "A simulated year".)
// Three daemons on one PostgreSQL play it too, without restores.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { FleetForTests, missingPostgres } from '../testing/fleet.ts';
import { soakTest } from '../testing/soak.ts';
import { temporaryFolder } from '../testing/temporary-folder.ts';
import { simulateYear } from '../testing/year/year.ts';

/** The least number of each event for a meaningful year. */
const least: { readonly perDevice: Counts; readonly perDaemon: Counts; readonly rare: Counts } = {
  /** For a year with 200 devices. */
  perDevice: {
    renewed: 2000,
    recovered: 200,
    paired: 200,
    slept: 500,
    moved: 500,
    'clock went wrong': 200,
    'answer lost': 100,
    'device crashed': 100,
  },
  perDaemon: {
    'daemon crashed': 2,
    'daemon started': 12,
    restored: 2,
    'root prepared': 1,
    'root activated': 1,
    'root finished': 1,
    'issuing CA made': 5,
    'audit verified': 6,
  },
  /** With few devices, these may be missing. */
  rare: {
    'device revoked': 3,
    'certificate revoked': 3,
    'approved known': 5,
    'key replaced': 2,
    'became another device': 3,
    'recovery released': 5,
    'superseded carried over': 5,
    'thief refused PAIRING_REJECTED': 1,
    'thief refused CERTIFICATE_SUPERSEDED': 1,
    'thief refused DEVICE_REVOKED': 1,
    'thief refused DEVICE_NOT_FOUND': 1,
    'thief refused CERTIFICATE_REVOKED': 1,
  },
};
type Counts = Readonly<Record<string, number>>;

soakTest(
  'in a year of mishaps no device is locked out permanently, and no refused device or certificate gets in again',
  { rounds: 200, tested: 12 },
  async (t, { count: devices, share, seed }) => {
    const year = await simulateYear({ seed, devices, days: 365, folder: temporaryFolder() });
    t.diagnostic([...year.counts].map(([what, count]) => `${what} ${count}`).join(', '));
    const expect = (counts: Counts, portion: number) => {
      for (const [what, count] of Object.entries(counts))
        assert.ok(year.count(what) >= count * portion, `${what}: ${year.count(what)}`);
    };
    expect(least.perDaemon, 1);
    // Small counts deviate more.
    expect(least.perDevice, share < 1 ? share / 2 : 1);
    if (share >= 1) expect(least.rare, 1);
    // No device is ever taken for a copy of itself.
    assert.equal(year.count('taken for a copy'), 0);
  },
);

describe('a fleet', { skip: missingPostgres }, () => {
  const fleet = new FleetForTests();

  soakTest(
    'in a year of three daemons on one PostgreSQL there is one authority, and no device is lost',
    { rounds: 100, tested: 4 },
    async (t, { count: devices, share, seed }) => {
      const url = await fleet.server.database();
      const days = share < 1 ? 92 : 365;
      const options = { seed, devices, days, folder: temporaryFolder(), fleet: { url, daemons: 3 } };
      const year = await simulateYear(options);
      t.diagnostic([...year.counts].map(([what, count]) => `${what} ${count}`).join(', '));
      for (const what of ['renewed', 'daemon started', 'issuing CA made', 'root finished', 'audit verified'])
        assert.ok(year.count(what) > 0, what);
      assert.equal(year.count('taken for a copy'), 0);
      const active = "select 1 from authorities where tier = 'issuing' and state = 'active'";
      assert.equal((await fleet.server.sql(url, active)).length, 1);
    },
  );
});

test('the same seed gives the same year', async () => {
  const size = { seed: 7, devices: 8, days: 20 };
  const [first, second] = [temporaryFolder(), temporaryFolder()];
  const digest = async (folder: string) => (await simulateYear({ ...size, folder })).digest();
  assert.equal(await digest(first), await digest(second));
});
