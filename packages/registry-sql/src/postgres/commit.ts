// Transactions of one daemon: begin and lock, changes in savepoints, events, commit.

import { IdentityError } from '@palyra/identity';
import type { RegistryTransaction } from '@palyra/identity/registry';
import type { CompiledQuery } from 'kysely';
import type { Executor } from '../executor.ts';
import type { Statements } from '../statements.ts';
import type { AuditHead } from '../transaction.ts';
import type { PostgresConnection } from './connection.ts';
import { encodeEvent, type FleetEvent } from './event-body.ts';
import { commit, type OutcomeOptions, rollBack } from './outcome.ts';
import { beginAndLock } from './statements.ts';
import { PostgresTransaction } from './transaction.ts';

/** A change that waits for its turn. */
export interface Change {
  readonly work: (tx: RegistryTransaction) => Promise<unknown>;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
}

/** The result of a durable transaction. */
export interface Committed {
  readonly head: AuditHead;
  /** The number of the first event. */
  readonly firstEvent: number;
  readonly events: readonly FleetEvent[];
  /** Answer each change. */
  readonly answers: readonly (() => void)[];
}

/** A change that was made or undone. It is answered when the commit is durable. */
interface Made {
  readonly isMade: boolean;
  readonly head: AuditHead;
  readonly told: readonly FleetEvent[];
  readonly revocations: number;
  readonly answer: () => void;
}

export interface CommitOptions extends OutcomeOptions {
  readonly statements: Statements;
  readonly daemon: string;
  /** Whether the database tells the daemons that listen of events. */
  readonly notifies: boolean;
  /** The last row of the audit that this daemon has seen. */
  readonly seen: AuditHead;
}

/**
 * Makes the changes in one transaction. A failed change is undone alone.
 * @returns undefined if no change had an effect; they have been answered then.
 * @throws the error for every change, of which none was made.
 */
export async function commitTogether(
  changes: readonly Change[],
  options: CommitOptions,
): Promise<Committed | undefined> {
  const connection = await options.link.get();
  let transaction: string;
  let head: AuditHead;
  let eventSeq: number;
  let revocationSeq: number;
  try {
    const [row] = await connection.execute(beginAndLock(options.seen.seq));
    if (!row) throw emptyLedger(connection.name);
    transaction = String(row.transaction);
    head = { seq: Number(row.audit_seq), hash: String(row.audit_hash) };
    eventSeq = Number(row.event_seq);
    revocationSeq = Number(row.revocation_seq);
    if (row.moved_by !== null) throw movedAway(connection.name);
    if (options.seen.seq > 0 && row.seen_hash !== options.seen.hash) throw wentBack(connection.name);
  } catch (error) {
    await rollBack(connection);
    throw error;
  }
  const before = { head, eventSeq, revocationSeq };
  const events: FleetEvent[] = [];
  const answers: (() => void)[] = [];
  try {
    // A single change needs no savepoint: when it fails, the transaction is undone.
    const inParts = changes.length > 1;
    let isAnyMade = false;
    // The savepoint before the present change. One statement ends it and begins the next.
    if (inParts) await connection.execute('savepoint part');
    for (const [index, change] of changes.entries()) {
      const isLast = index === changes.length - 1;
      const made = await make(change, { connection, head, statements: options.statements, inParts });
      if (inParts && made.isMade && !isLast) await connection.execute('release part; savepoint part');
      answers.push(made.answer);
      if (!made.isMade) continue;
      isAnyMade = true;
      head = made.head;
      for (const event of made.told) events.push(event);
      revocationSeq += made.revocations;
    }
    if (!isAnyMade) {
      await rollBack(connection);
      for (const answer of answers) answer();
      return undefined;
    }
    await writeHead(connection, options, before, { head, events, revocationSeq });
  } catch (error) {
    await rollBack(connection);
    throw error;
  }
  await commit(connection, transaction, head, options);
  return { head, firstEvent: before.eventSeq + 1, events, answers };
}

async function make(
  { work, resolve, reject }: Change,
  at: {
    readonly connection: PostgresConnection;
    readonly head: AuditHead;
    readonly statements: Statements;
    readonly inParts: boolean;
  },
): Promise<Made> {
  const { connection, head, statements, inParts } = at;
  const inside = new InsideExecutor(connection);
  try {
    const tx = new PostgresTransaction(inside, statements, head);
    const result = await work(tx);
    await inside.end();
    const { head: moved, told, revocationsAdded: revocations } = tx;
    return { isMade: true, head: moved, told, revocations, answer: () => resolve(result) };
  } catch (error) {
    await inside.close();
    // Without the connection, the earlier changes are lost too.
    if (connection.isBroken) throw error;
    // The savepoint stays for the next change.
    if (inParts) await connection.execute('rollback to part');
    return { isMade: false, head, told: [], revocations: 0, answer: () => reject(error) };
  }
}

async function writeHead(
  connection: PostgresConnection,
  { fleet, daemon, notifies }: CommitOptions,
  before: { readonly head: AuditHead; readonly eventSeq: number; readonly revocationSeq: number },
  after: {
    readonly head: AuditHead;
    readonly events: readonly FleetEvent[];
    readonly revocationSeq: number;
  },
): Promise<void> {
  const { head, events } = after;
  const ledger = {
    event_seq: before.eventSeq + events.length,
    audit_seq: head.seq,
    audit_hash: head.hash,
    revocation_seq: after.revocationSeq,
  };
  if (events.length > 0) {
    const seqs = events.map((_, index) => before.eventSeq + 1 + index);
    const bodies = events.map(encodeEvent);
    const publish = notifies ? fleet.publishAndNotify : fleet.publish;
    await connection.all(publish({ ...ledger, seqs, daemon, bodies }));
  } else if (head.seq !== before.head.seq || after.revocationSeq !== before.revocationSeq)
    await connection.run(fleet.moveHead(ledger));
}

export function wentBack(name: string): IdentityError {
  return new IdentityError(
    'REGISTRY_WENT_BACK',
    `The database ${name} lacks changes that this daemon has seen: it was restored from an older copy, or a standby without them took over. Revocations may be missing. Bring the newest database back, or read docs/fleet.md.`,
    { about: 'registry' },
  );
}

export function movedAway(name: string): IdentityError {
  return new IdentityError(
    'REGISTRY_MOVED',
    `The registry in the database ${name} was moved into the home of a daemon, which alone serves it now. Stop this daemon. To have several daemons again, run "registry move" with an empty database in that home.`,
    { about: 'registry' },
  );
}

function emptyLedger(name: string): IdentityError {
  return new IdentityError(
    'STORE_FAILED',
    `The database ${name} has no row in its table ledger. Restore it.`,
  );
}

/** Runs the statements of one change. */
class InsideExecutor implements Executor {
  readonly #connection: PostgresConnection;
  #over = false;
  #failure: unknown;
  #last: Promise<unknown> = Promise.resolve();

  constructor(connection: PostgresConnection) {
    this.#connection = connection;
  }

  all<Row>(query: CompiledQuery<Row>): Promise<Row[]> {
    return this.#run(() => this.#connection.all(query));
  }

  run(query: CompiledQuery): Promise<number> {
    return this.#run(() => this.#connection.run(query));
  }

  /** Waits for statements that `work` did not await. Throws a failure that it ignored: half a change is never committed. */
  async end(): Promise<void> {
    await this.#last;
    if (this.#failure) throw this.#failure;
    this.#over = true;
  }

  async close(): Promise<void> {
    this.#over = true;
    await this.#last;
  }

  async #run<T>(statement: () => Promise<T>): Promise<T> {
    if (this.#over) throw new TypeError('this transaction is over; await everything inside `transact`');
    // After a failure, PostgreSQL refuses everything until the part is undone.
    if (this.#failure) throw this.#failure;
    const done = statement();
    this.#last = done.catch(() => {});
    try {
      return await done;
    } catch (error) {
      this.#failure ??= error;
      throw error;
    }
  }
}
