import { describe } from 'node:test';
import { missingPostgres, PostgresForTests } from '../testing/postgres.ts';
import { registrySuite } from '../testing/registry-suite.ts';
import { openPostgresRegistry } from './open.ts';

for (const listens of [true, false])
  describe(`PostgreSQL ${listens ? 'with' : 'without'} notifications`, { skip: missingPostgres }, () => {
    const postgres = new PostgresForTests(listens);
    registrySuite('PostgreSQL', async (onError) =>
      openPostgresRegistry({ url: await postgres.database(), daemon: 'a', onError, listens }),
    );
  });
