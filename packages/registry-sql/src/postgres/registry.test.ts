import { describe } from 'node:test';
import { missingPostgres, PostgresForTests } from '../testing/postgres.ts';
import { registrySuite } from '../testing/registry-suite.ts';
import { openPostgresRegistry } from './open.ts';

describe('PostgreSQL', { skip: missingPostgres }, () => {
  const postgres = new PostgresForTests();
  registrySuite('PostgreSQL', async (onError) =>
    openPostgresRegistry({ url: await postgres.database(), daemon: 'a', onError }),
  );
});
