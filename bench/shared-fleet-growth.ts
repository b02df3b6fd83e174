// Whether the cost per device grows with the number of devices, with PostgreSQL.

import { IdentityManager } from '@palyra/identity';
import { masterKeyFromText } from '@palyra/identity/keys';
import { openPostgresRegistry, SqlSecretStore } from '@palyra/registry-sql/postgres';
import { seedPostgres } from '@palyra/registry-sql/suite';
import type { PostgresServer } from '../tests/testing/postgres.ts';
import { type Figures, interleave, median, ratio } from './measure.ts';
import { checks, pairings } from './registry.ts';
import { timeRegistry } from './timed-registry.ts';

const few = 1_000;
const many = 1_000_000;
const pairingRounds = { rounds: 100, warmUp: 20 };
const checkRounds = { rounds: 100, warmUp: 100, calls: 100 };

export async function fleetGrowth(server: PostgresServer): Promise<Figures> {
  const [small, large] = [await seeded(server, few), await seeded(server, many)];
  const check = await interleave(
    {
      few: checks(small, few, few, checkRounds),
      many: checks(large, many, many, checkRounds),
      sameCallers: checks(large, many, few, checkRounds),
    },
    checkRounds,
  );
  const pairing = await interleave({ few: pairings(small), many: pairings(large) }, pairingRounds);
  await small.close();
  await large.close();
  const growth = { check: ratio(check.many, check.few), pairing: ratio(pairing.many, pairing.few) };
  return {
    'fleet.growth_1k_to_1m': {
      ...(growth.check.value > growth.pairing.value ? growth.check : growth.pairing),
      target: { atMost: 1.3 },
      unit: 'ratio',
      meaning:
        'registry.growth_1k_to_1m with PostgreSQL: what the registry takes for a pairing, and for the check of a call (read, not ' +
        'remembered), among 1,000,000 devices over the same among 1,000; the larger of the two.',
      parts: {
        pairing_growth: growth.pairing.value,
        pairing_1k_ms: median(pairing.few),
        pairing_1m_ms: median(pairing.many),
        check_growth: growth.check.value,
        check_1k_us: median(check.few) * 1000,
        check_1m_us: median(check.many) * 1000,
        check_growth_same_callers: ratio(check.sameCallers, check.few).value,
      },
      whenMissed:
        'The check reads two entries of two indexes that are a level or two deeper. Their pages are more than the shared buffers of ' +
        'the server, so many come from the memory of the system. same_callers: as many different devices call as among 1,000.',
    },
  };
}

async function seeded(server: PostgresServer, count: number) {
  const url = await server.database();
  const registry = await openPostgresRegistry({ url, daemon: 'bench' });
  const secrets = await SqlSecretStore.open({ url, masterKey: masterKeyFromText('07'.repeat(32)) });
  const { registry: through, takeMs: takeRegistryMs } = timeRegistry(registry);
  const timed = await IdentityManager.open({ secrets, registry: through });
  await seedPostgres(url, count);
  // As autovacuum does in time.
  await server.sql(url, 'vacuum analyze');
  return {
    registry,
    timed,
    takeRegistryMs,
    async close() {
      await registry.close();
      await secrets.close();
    },
  };
}
