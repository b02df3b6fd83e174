// The revocation lists that the daemons of a fleet share: whichever needs one first makes it.

import type { SharedList, SharedListHead, SharedLists } from '@palyra/identity/registry';
import type { Link } from './link.ts';
import type { Readers } from './readers.ts';
import { fleetStatements } from './statements.ts';

export class PostgresLists implements SharedLists {
  readonly #readers: Readers;
  readonly #upkeep: Link;
  readonly #daemon: string;
  readonly #statements = fleetStatements();

  /** @param daemon this one. */
  constructor(readers: Readers, upkeep: Link, daemon: string) {
    this.#readers = readers;
    this.#upkeep = upkeep;
    this.#daemon = daemon;
  }

  async head(issuerId: string): Promise<SharedListHead> {
    const [row] = await this.#readers.all(this.#statements.listHead({ issuer_id: issuerId }));
    if (!row) throw new TypeError('the ledger has one row');
    const { epoch, number, revocation_seq: madeAt, remake_at: remakeAtMs, next_update: nextUpdateMs } = row;
    const isThere = number !== null && madeAt !== null && remakeAtMs !== null && nextUpdateMs !== null;
    return { epoch, list: isThere ? { number, epoch: madeAt, remakeAtMs, nextUpdateMs } : undefined };
  }

  async read(issuerId: string): Promise<SharedList | undefined> {
    const [row] = await this.#readers.all(this.#statements.list({ issuer_id: issuerId }));
    if (!row) return undefined;
    const { number, revocation_seq: epoch, remake_at: remakeAtMs, next_update: nextUpdateMs, der } = row;
    return { number, epoch, remakeAtMs, nextUpdateMs, der };
  }

  async write(issuerId: string, list: SharedList): Promise<void> {
    const { number, epoch, remakeAtMs, nextUpdateMs, der } = list;
    const row = { issuer_id: issuerId, number, revocation_seq: epoch, remake_at: remakeAtMs };
    const connection = await this.#upkeep.get();
    await connection.run(this.#statements.putList({ ...row, next_update: nextUpdateMs, der }));
    await connection.run(this.#statements.didWork({ what: 'revocation lists', daemon: this.#daemon }));
  }
}
