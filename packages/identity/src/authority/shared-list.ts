// The revocation list of one authority, for daemons that share a registry. Whichever daemon needs a newer list first makes it,
// and the others publish the same one.

import type { Clock } from '../clock.ts';
import type { Ulid } from '../device-id.ts';
import type { SharedList, SharedLists } from '../registry/port.ts';
import type { ListOfAuthority, MadeList, RevocationList } from './published-list.ts';

/** Pause before another try to make a list, ms. */
const restMs = 10_000;

export interface SharedListOptions {
  readonly issuerId: Ulid;
  readonly shared: SharedLists;
  readonly clock: Clock;
  /** Roots revoke nothing: their lists do not depend on revocations. */
  readonly isRoot: boolean;
  readonly make: (epoch: number) => Promise<MadeList>;
}

export class SharedListOfAuthority {
  readonly #options: SharedListOptions;
  #last: RevocationList | undefined;
  #failed: { readonly atMs: number; readonly error: unknown } | undefined;
  #running: Promise<ListOfAuthority> | undefined;
  #next: Promise<ListOfAuthority> | undefined;

  constructor(options: SharedListOptions) {
    this.#options = options;
  }

  /** The newest list, with everything that was revoked before the call. Callers who wait share a look at the registry. */
  current(): Promise<ListOfAuthority> {
    if (!this.#next) {
      const begin = () => this.#begin();
      this.#next = (this.#running ?? Promise.resolve()).then(begin, begin);
    }
    return this.#next;
  }

  async #begin(): Promise<ListOfAuthority> {
    this.#running = this.#next;
    this.#next = undefined;
    const { issuerId, clock } = this.#options;
    if (!this.#isResting()) {
      try {
        await this.#look();
        this.#failed = undefined;
      } catch (error) {
        this.#failed = { atMs: clock.now().getTime(), error };
      }
    }
    const list = this.#last && this.#last.nextUpdate > clock.now() ? this.#last : undefined;
    return { issuerId, list, error: this.#failed?.error };
  }

  async #look(): Promise<void> {
    const { issuerId, shared, isRoot, make, clock } = this.#options;
    const { epoch, list } = await shared.head(issuerId);
    const leftMs = (list?.remakeAtMs ?? 0) - clock.now().getTime();
    if (!list || leftMs <= 0 || (!isRoot && list.epoch < epoch)) {
      const made = await make(epoch);
      const { number, nextUpdate, remakeAtMs } = made;
      const der = Buffer.concat(made.der);
      await shared.write(issuerId, { number, epoch, remakeAtMs, nextUpdateMs: nextUpdate.getTime(), der });
    } else if (list.number === this.#last?.number) return;
    // Another daemon may have made one at the same time; the higher number stays.
    this.#last = published(issuerId, await shared.read(issuerId)) ?? this.#last;
  }

  #isResting(): boolean {
    return !!this.#failed && Math.abs(this.#options.clock.now().getTime() - this.#failed.atMs) < restMs;
  }
}

function published(issuerId: Ulid, list: SharedList | undefined): RevocationList | undefined {
  if (!list) return undefined;
  return { issuerId, der: [list.der], number: list.number, nextUpdate: new Date(list.nextUpdateMs) };
}
