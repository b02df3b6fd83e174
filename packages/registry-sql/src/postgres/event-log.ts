// Delivers the events of all daemons, in the order of the commits, to this daemon's listeners. Its own events are delivered right after
// their commit, and those of others when it has read them.

import type { EventOrigin, Pairing, RegistryEvent, RegistryListeners } from '@palyra/identity/registry';
import { decodeEvent } from './event-body.ts';
import type { EventsTable } from './tables.ts';

export interface EventLogOptions {
  /** This daemon's id in its rows. */
  readonly daemon: string;
  /** Number of the last event before this registry was opened. */
  readonly applied: number;
  readonly listeners: RegistryListeners;
  /** Rows after a number, in order. */
  readonly rowsAfter: (seq: number) => Promise<EventsTable[]>;
  readonly pairing: (id: string) => Promise<Pairing | undefined>;
}

export class EventLog {
  readonly #options: EventLogOptions;
  #applied: number;
  /** Numbers after `#applied` of own events that were already delivered. */
  readonly #told = new Set<number>();
  #changes = 0;
  #last: Promise<void> = Promise.resolve();

  constructor(options: EventLogOptions) {
    this.#options = options;
    this.#applied = options.applied;
  }

  /** Every event up to this number was delivered. */
  get applied(): number {
    return this.#applied;
  }

  /** Increases with every change that this daemon has made or read. */
  get changes(): number {
    return this.#changes;
  }

  /** Call it when a commit may have changed something. */
  changed(): void {
    this.#changes += 1;
  }

  /** Delivers the events of an own commit. @param first the number of the first event. */
  committed(first: number, events: readonly (RegistryEvent | undefined)[]): void {
    this.#changes += 1;
    const untold: RegistryEvent[] = [];
    for (const [index, event] of events.entries()) {
      const seq = first + index;
      // A read of the log came before the answer to the commit.
      if (seq <= this.#applied) continue;
      this.#told.add(seq);
      if (event) untold.push(event);
    }
    this.#advance();
    this.#options.listeners.tell(untold);
  }

  /** Delivers every event up to this number. */
  catchUp(to: number): Promise<void> {
    const done = this.#last.then(() => this.#apply(to));
    this.#last = done.catch(() => {});
    return done;
  }

  async #apply(to: number): Promise<void> {
    while (this.#applied < to) {
      const rows = await this.#options.rowsAfter(this.#applied);
      const [first] = rows;
      if (!first || first.seq > this.#applied + 1) {
        // The rows were removed, because this daemon was away for longer than they are kept.
        this.#changes += 1;
        this.#told.clear();
        this.#applied = first ? first.seq - 1 : to;
        this.#options.listeners.tell([{ type: 'changes_missed' }], 'elsewhere');
        continue;
      }
      for (const row of rows) await this.#applyRow(row);
    }
  }

  async #applyRow({ seq, daemon, body }: EventsTable): Promise<void> {
    const event = await decodeEvent(body, this.#options.pairing);
    // In the meantime, the answer to an own commit may have arrived.
    if (seq <= this.#applied) return;
    const isTold = this.#told.delete(seq);
    this.#applied = seq;
    this.#advance();
    if (isTold) return;
    this.#changes += 1;
    const origin: EventOrigin = daemon === this.#options.daemon ? 'here' : 'elsewhere';
    if (event) this.#options.listeners.tell([event], origin);
  }

  #advance(): void {
    while (this.#told.delete(this.#applied + 1)) this.#applied += 1;
  }
}
