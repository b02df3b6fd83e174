// A PostgreSQL server for a test file, and registries in databases of their own on it.

import { after, before } from 'node:test';
import { PostgresServer } from '../../../../tests/testing/postgres.ts';
import { openPostgresRegistry } from '../postgres/open.ts';

export { missingPostgres, PostgresServer } from '../../../../tests/testing/postgres.ts';

/** One server for a test file, with a database from which others are copied: the migrations run once. */
export class PostgresForTests {
  #server: PostgresServer | undefined;
  #template = '';

  constructor() {
    before(async () => {
      this.#server = await PostgresServer.start();
      const url = await this.#server.database();
      await (await openPostgresRegistry({ url, daemon: 'template' })).close();
      this.#template = new URL(url).pathname.slice(1);
    });
    after(() => this.#server?.stop());
  }

  get server(): PostgresServer {
    if (!this.#server) throw new TypeError('the server starts before the first test');
    return this.#server;
  }

  /** @returns the URL of a database with the tables of a registry. */
  database(): Promise<string> {
    return this.server.database(this.#template);
  }
}
