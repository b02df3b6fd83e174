// The registry in a PostgreSQL database that several daemons share (docs/fleet.md).

import {
  changeMade,
  type ListenerErrors,
  type Registry,
  type RegistryEvent,
  type RegistryListener,
  RegistryListeners,
  type RegistryReader,
  type RegistryTransaction,
  type SharedLists,
} from '@palyra/identity/registry';
import { SqlReads } from '../reads.ts';
import type { Statements } from '../statements.ts';
import type { AuditHead } from '../transaction.ts';
import type { PostgresAddress } from './address.ts';
import { daemonGoneMs, PostgresChannels } from './channels.ts';
import { type Change, commitTogether, movedAway, wentBack } from './commit.ts';
import type { PostgresConnection } from './connection.ts';
import type { FleetEvent } from './event-body.ts';
import { EventLog } from './event-log.ts';
import { closed, Link } from './link.ts';
import { PostgresLists } from './lists.ts';
import {
  type DueWork,
  type DueWorkName,
  type FleetMember,
  type MemberNow,
  memberOf,
  memberRow,
  workIn,
} from './members.ts';
import { Notifications } from './notifications.ts';
import { hasRow } from './outcome.ts';
import { ReadIndex } from './read-index.ts';
import { Readers } from './readers.ts';
import { PostgresReader } from './snapshot.ts';
import { type FleetStatements, fleetStatements } from './statements.ts';
import { PostgresTransaction } from './transaction.ts';

/** Most changes in one commit, because other daemons wait for it. */
const changesTogether = 32;
/** A daemon that stops inside a transaction keeps the others waiting for this long, ms. */
const idleInTransactionMs = 5_000;
const lockMs = 10_000;
/** Events read at one time. */
const eventPage = 500;

/** A daemon without a sign of life for this time is forgotten, ms. */
const daemonsKeptMs = 30 * 86_400_000;
/** A daemon that was away for longer closes every connection, ms. */
const eventsKeptMs = 86_400_000;

export interface Rate {
  readonly count: number;
  /** How long it is counted, ms. */
  readonly leftMs: number;
}

/** What the registry needs of the database that was opened. */
interface OpenedDatabase {
  readonly address: PostgresAddress;
  readonly statements: Statements;
  /** This daemon, for the others. */
  readonly daemon: string;
  /** The ledger when this registry was opened. */
  readonly head: AuditHead & { readonly eventSeq: number };
  readonly onError: ListenerErrors | undefined;
  /** False: it neither listens nor notifies, and the poll alone finds changes of other daemons. */
  readonly listens: boolean;
}

export class PostgresRegistry extends SqlReads implements Registry {
  readonly isShared = true;
  readonly #options: OpenedDatabase;
  readonly #readers: Readers;
  readonly #fleet: FleetStatements;
  readonly #writer: Link;
  readonly #indexLink: Link;
  readonly #upkeep: Link;
  readonly #index: ReadIndex;
  readonly #listeners: RegistryListeners;
  readonly #log: EventLog;
  readonly #notifications: Notifications;
  readonly #lists: SharedLists;
  /** Which daemon has the channel of a device. */
  readonly channels: PostgresChannels;
  readonly #waiting: Change[] = [];
  #working: Promise<void> | undefined;
  #head: AuditHead;
  #isShut = false;
  #isAway = false;
  #databaseMs = 0;
  #closed: Promise<void> | undefined;

  constructor(options: OpenedDatabase) {
    const { address, statements, head } = options;
    const fleet = fleetStatements();
    let seen = (): AuditHead => head;
    // A new connection may lead to a database that lost commits, or to another one.
    const onOpen = (connection: PostgresConnection) => mustHold(connection, fleet, seen());
    const readers = new Readers(address, onOpen);
    super(readers, statements);
    seen = () => this.#head;
    this.#options = options;
    this.#readers = readers;
    this.#fleet = fleet;
    this.#head = { seq: head.seq, hash: head.hash };
    this.#writer = new Link({ address, session: { idleInTransactionMs, lockMs }, onOpen });
    this.#indexLink = new Link({ address, onOpen });
    this.#upkeep = new Link({ address, onOpen });
    this.#lists = new PostgresLists(readers, this.#upkeep, options.daemon);
    this.channels = new PostgresChannels(options.daemon, readers, this.#upkeep);
    this.#index = new ReadIndex(() => this.#readHead());
    this.#listeners = new RegistryListeners(options.onError);
    this.#log = new EventLog({
      daemon: options.daemon,
      applied: head.eventSeq,
      listeners: this.#listeners,
      rowsAfter: (seq) => readers.all(this.#fleet.eventsAfter({ seq, limit: eventPage })),
      pairing: (id) => this.pairing(id),
    });
    this.#notifications = new Notifications({
      address,
      listens: options.listens,
      onNews: () => this.#follow(options.onError),
    });
  }

  get changes(): number {
    return this.#log.changes;
  }

  /** The last row of the audit that this daemon has seen. A database without it went back. */
  get seen(): AuditHead {
    return this.#head;
  }

  upToDate(): Promise<void> {
    if (this.#isShut) return Promise.reject(closed());
    return this.#index.ask();
  }

  /** Looks for changes of other daemons. Says once that the database is away, until it is back. */
  async #follow(onError: ListenerErrors | undefined): Promise<void> {
    try {
      await this.#index.ask();
      this.#isAway = false;
    } catch (error) {
      if (!this.#isAway && !this.#isShut) onError?.(error, 'following the changes of other daemons');
      this.#isAway = true;
    }
  }

  async #readHead(): Promise<void> {
    const connection = await this.#indexLink.get();
    // Known before the read began. An own commit may be answered before a read that did not see it.
    const known = { applied: this.#log.applied, seen: this.#head };
    const askedAt = performance.now();
    const [row] = await connection.all(this.#fleet.head({ seen: known.seen.seq }));
    this.#databaseMs = performance.now() - askedAt;
    const { event_seq: eventSeq = -1, audit_seq: seq = -1, audit_hash: hash = '' } = row ?? {};
    if (row?.moved_by != null) throw movedAway(connection.name);
    // The check when the connection was opened is not enough. This daemon may have learned the row later, from an answer
    // of the database before, and meanwhile others have filled the gap.
    const hasSeen = known.seen.seq === 0 || row?.seen_hash === known.seen.hash;
    if (eventSeq < known.applied || !hasSeen) throw wentBack(connection.name);
    await this.#log.catchUp(eventSeq);
    if (seq > this.#head.seq) this.#head = { seq, hash };
  }

  async transact<T>(work: (tx: RegistryTransaction) => Promise<T>): Promise<T> {
    if (this.#isShut) throw closed();
    const result = await new Promise<T>((resolve, reject) => {
      this.#waiting.push({ work, resolve: resolve as (value: unknown) => void, reject });
      this.#working ??= this.#work();
    });
    changeMade();
    return result;
  }

  async #work(): Promise<void> {
    // Changes of this turn of the event loop come together.
    await undefined;
    while (this.#waiting.length > 0) await this.#together(this.#waiting.splice(0, changesTogether));
    this.#working = undefined;
  }

  async #together(changes: readonly Change[]): Promise<void> {
    try {
      const { statements, daemon, listens: notifies } = this.#options;
      const done = await commitTogether(changes, {
        link: this.#writer,
        statements,
        fleet: this.#fleet,
        daemon,
        notifies,
        seen: this.#head,
      });
      if (!done) return;
      if (done.head.seq > this.#head.seq) this.#head = done.head;
      this.#log.committed(done.firstEvent, done.events.map(heardHere));
      for (const answer of done.answers) answer();
      for (const what of workIn(done.events)) this.didWork(what).catch(() => {});
    } catch (error) {
      this.#log.changed();
      for (const { reject } of changes) reject(error);
    }
  }

  /** Whether the last look at the database found it. There is one every 250 ms. */
  get isReachable(): boolean {
    return !this.#isAway;
  }

  /** The last round trip to the database, ms. */
  get databaseMs(): number {
    return this.#databaseMs;
  }

  /** Shows this daemon to the others, and removes what nobody needs any more. */
  async announce(member: MemberNow): Promise<void> {
    const connection = await this.#forUpkeep();
    await connection.run(this.#fleet.putDaemon(memberRow(member)));
    await connection.run(this.#fleet.forgetDaemons({ ms: daemonsKeptMs }));
    await connection.run(this.#fleet.forgetEvents({ ms: eventsKeptMs }));
    await connection.run(this.#fleet.forgetRates({}));
    await this.channels.tidy();
  }

  /** Removes a daemon that is gone. @returns false if there is none: it is unknown, or has given a sign of life lately. */
  async forgetMember(tx: RegistryTransaction, id: string): Promise<boolean> {
    if (!(tx instanceof PostgresTransaction)) throw new TypeError('this transaction is of another registry');
    return (await tx.changeRows(this.#fleet.forgetDaemon({ id, ms: daemonGoneMs }))) > 0;
  }

  /** This daemon has done work for all. For operators only, so a failure does not matter. */
  async didWork(what: DueWorkName): Promise<void> {
    const { daemon } = this.#options;
    await (await this.#forUpkeep()).run(this.#fleet.didWork({ what, daemon }));
  }

  /** Who did which work last. */
  async dueWork(): Promise<DueWork[]> {
    const rows = await this.#readers.all(this.#fleet.dueWork({}));
    return rows.map(({ what, daemon, at }) => ({ what: what as DueWorkName, daemon, at: new Date(at) }));
  }

  /** What all daemons have counted under this key in its present time; undefined for nothing. */
  async rate(key: string): Promise<Rate | undefined> {
    const [row] = await this.#readers.all(this.#fleet.rate({ key }));
    return row && { count: row.count, leftMs: row.left };
  }

  /** Counts one more. @param ms how long a key's first count lasts. */
  async countRate(key: string, ms: number): Promise<Rate> {
    const [row] = await (await this.#forUpkeep()).all(this.#fleet.countRate({ key, ms }));
    return { count: row?.count ?? 0, leftMs: row?.left ?? ms };
  }

  get sharedLists(): SharedLists {
    return this.#lists;
  }

  /** For rows that are no part of the registry's changes. */
  async #forUpkeep(): Promise<PostgresConnection> {
    if (this.#isShut) throw closed();
    return this.#upkeep.get();
  }

  /** Every daemon that shares this database. */
  async members(): Promise<FleetMember[]> {
    return (await this.#readers.all(this.#fleet.daemons({}))).map(memberOf);
  }

  async snapshot(): Promise<RegistryReader> {
    if (this.#isShut) throw closed();
    return PostgresReader.open(this.#options.address, this.statements);
  }

  enforce(listener: RegistryListener): () => void {
    return this.#listeners.enforce(listener);
  }

  subscribe(listener: RegistryListener): () => void {
    return this.#listeners.observe(listener);
  }

  close(): Promise<void> {
    this.#closed ??= this.#shut();
    return this.#closed;
  }

  /** Refuses new work, and waits for the earlier work. */
  async #shut(): Promise<void> {
    this.#isShut = true;
    await this.#working;
    await this.channels.settled();
    await this.#notifications.close();
    const links = [this.#writer, this.#indexLink, this.#upkeep, this.#readers];
    await Promise.all(links.map((each) => each.close()));
  }
}

/** A daemon knows of its own change of the authorities. */
function heardHere(event: FleetEvent): RegistryEvent | undefined {
  return event.type === 'standing_changed' || event.type === 'authorities_changed' ? undefined : event;
}

/** @throws REGISTRY_WENT_BACK unless the database has this row of the audit. */
export async function mustHold(
  connection: PostgresConnection,
  fleet: FleetStatements,
  row: AuditHead,
): Promise<void> {
  if (!(await hasRow(connection, fleet, row))) throw wentBack(connection.name);
}
