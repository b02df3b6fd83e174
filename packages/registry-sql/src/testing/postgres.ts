// A PostgreSQL server for a test file, and registries in databases of their own on it.

import assert from 'node:assert/strict';
import { after, before } from 'node:test';
import { logsStatements, PostgresServer } from '../../../../tests/testing/postgres.ts';
import { prepareForRole } from '../postgres/rights.ts';

export { missingPostgres, PostgresServer } from '../../../../tests/testing/postgres.ts';

/** The role of every test that does not make its tables itself. */
const servedBy = 'daemons';

/** One server for a test file, with a database from which others are copied: the migrations run once. */
export class PostgresForTests {
  #server: PostgresServer | undefined;
  #template = '';

  /** @param listens false for tests without notifications: then no statement may ask for them, or for advisory locks. */
  constructor(listens = true) {
    before(async () => {
      this.#server = await PostgresServer.start(listens ? '' : logsStatements);
      await this.#server.sql('postgres', `create role ${servedBy} login`);
      const url = await this.#server.database();
      await prepareForRole(url, servedBy);
      this.#template = new URL(url).pathname.slice(1);
    });
    after(async () => {
      try {
        if (!listens) assert.deepEqual(await this.server.notPortable(), []);
      } finally {
        await this.#server?.stop();
      }
    });
  }

  get server(): PostgresServer {
    if (!this.#server) throw new TypeError('the server starts before the first test');
    return this.#server;
  }

  /** @returns the URL of a database with the tables of a registry, for a role with the least rights. */
  async database(): Promise<string> {
    const url = await this.server.database(this.#template);
    return this.server.url(new URL(url).pathname.slice(1), servedBy);
  }
}
