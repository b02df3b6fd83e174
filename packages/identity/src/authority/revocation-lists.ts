// The published revocation lists: a numbered list for each authority whose certificates may still be in use. A new one
// is made after a revocation, and before the old one expires. A root revokes nothing, but programs that check a whole
// chain (nginx, HAProxy) also need its list.
//
// The lists are independent: if one cannot be made, its last version is published while it is valid, and the others
// continue.

import { makeRevocationList, type RevokedCertificate } from '../certificate/revocation-list.ts';
import { presentTime } from '../clock.ts';
import type { Ulid } from '../device-id.ts';
import { clockToleranceMs, revocationListLifeMs as lifeMs, listedAfterEndMs } from '../limits.ts';
import type { AuthorityRecord, RegistryReads } from '../registry/port.ts';
import type { AuthorityStoreOptions } from './new-authority.ts';
import type { ListOfAuthority, MadeList, RevocationList } from './published-list.ts';
import { SharedListOfAuthority } from './shared-list.ts';

/** Entries read and encoded in one turn of the event loop. */
const pageEntries = 250;
/** Pause before another try to make a list, ms. */
const restMs = 10_000;

export class RevocationLists {
  readonly #options: AuthorityStoreOptions;
  readonly #trustDomain: string;
  readonly #slots = new Map<Ulid, ListSlot | SharedListOfAuthority>();
  /** Increases with every revocation. */
  #epoch = 0;

  constructor(options: AuthorityStoreOptions, trustDomain: string) {
    this.#options = options;
    this.#trustDomain = trustDomain;
    options.registry.enforce(({ type }) => {
      if (type === 'device_revoked' || type === 'certificate_revoked' || type === 'changes_missed')
        this.#epoch += 1;
    });
  }

  /**
   * The lists of each unexpired issuing CA, the active one first; then of the trusted roots. They include everything
   * revoked before the call.
   */
  async current(): Promise<ListOfAuthority[]> {
    await this.#options.registry.upToDate();
    const now = this.#options.clock.now();
    const rank = ({ tier, state }: AuthorityRecord) => (tier === 'root' ? 2 : state === 'active' ? 0 : 1);
    const authorities = (await this.#options.registry.authorities())
      .filter(({ tier, state, notAfter }) => notAfter > now && !(tier === 'root' && state === 'retired'))
      .sort((a, b) => rank(a) - rank(b));
    const lists: ListOfAuthority[] = [];
    // One after the other, so that each turn of the event loop has the work of one list only.
    for (const authority of authorities) lists.push(await this.#slotOf(authority).current());
    for (const id of this.#slots.keys())
      if (!authorities.some((authority) => authority.id === id)) this.#slots.delete(id);
    return lists;
  }

  /** Called after a restore, so that no number of the replaced registry is used again. */
  async continueFrom(before: Pick<RegistryReads, 'authorities' | 'setting'>): Promise<void> {
    for (const { id } of await before.authorities()) {
      const used = Number((await before.setting(numberSetting(id))) ?? '0');
      await this.#options.registry.transact(async (tx) => {
        const known = Number((await tx.setting(numberSetting(id))) ?? '0');
        if (used > known) await tx.putSetting(numberSetting(id), String(used));
      });
    }
  }

  #slotOf(authority: AuthorityRecord): ListSlot | SharedListOfAuthority {
    let slot = this.#slots.get(authority.id);
    if (!slot) {
      const { clock, registry } = this.#options;
      const shared = registry.sharedLists;
      const isRoot = authority.tier === 'root';
      const make = (epoch: number) => this.#make(authority, epoch);
      const options = { issuerId: authority.id, clock, make };
      slot = shared
        ? new SharedListOfAuthority({ ...options, shared, isRoot })
        : new ListSlot({ ...options, epoch: () => (isRoot ? 0 : this.#epoch) });
      this.#slots.set(authority.id, slot);
    }
    return slot;
  }

  async #make(authority: AuthorityRecord, epoch: number): Promise<MadeList> {
    const { registry, clock, keys } = this.#options;
    const now = presentTime(clock);
    const signer = await keys.load(authority.id);
    const number = await registry.transact(async (tx) => {
      // At least the time in milliseconds: a restored registry remembers a number from before, and what reads lists
      // takes no number twice (RFC 5280 5.2.3).
      const next = Math.max(
        Number((await tx.setting(numberSetting(authority.id))) ?? '0') + 1,
        now.getTime(),
      );
      await tx.putSetting(numberSetting(authority.id), String(next));
      return next;
    });
    const nextUpdate = new Date(Math.min(now.getTime() + lifeMs, authority.notAfter.getTime()));
    const der = await makeRevocationList(signer, {
      tier: authority.tier,
      trustDomain: this.#trustDomain,
      number,
      thisUpdate: new Date(now.getTime() - clockToleranceMs),
      nextUpdate,
      revoked: revokedBy(registry, authority.id, new Date(now.getTime() - listedAfterEndMs)),
    });
    return {
      issuerId: authority.id,
      der,
      number,
      nextUpdate,
      epoch,
      remakeAtMs: now.getTime() + lifeMs / 2,
    };
  }
}

const numberSetting = (issuerId: Ulid) => `revocation_list_number/${issuerId}`;

/** The entries in pages. @param endedAfter certificates that expired before are no longer listed. */
async function* revokedBy(
  registry: RegistryReads,
  issuerId: Ulid,
  endedAfter: Date,
): AsyncIterable<readonly RevokedCertificate[]> {
  let after = { notAfter: endedAfter, serial: '' };
  for (;;) {
    const page = await registry.revokedCertificates({ issuerId, after, limit: pageEntries });
    yield page;
    const last = page.at(-1);
    if (!last || page.length < pageEntries) return;
    after = last;
  }
}

interface ListSlotOptions {
  readonly issuerId: Ulid;
  readonly clock: AuthorityStoreOptions['clock'];
  readonly epoch: () => number;
  readonly make: (epoch: number) => Promise<MadeList>;
}

/** The list of one authority. Only one is made at a time, and callers share it if possible. */
class ListSlot {
  readonly #options: ListSlotOptions;
  #last: MadeList | undefined;
  #failed: { readonly atMs: number; readonly error: unknown } | undefined;
  #making: { readonly epoch: number; readonly made: Promise<void> } | undefined;
  /** The next list, which has not been started, so that new callers can share it. */
  #next: Promise<void> | undefined;

  constructor(options: ListSlotOptions) {
    this.#options = options;
  }

  async current(): Promise<ListOfAuthority> {
    const { issuerId, epoch } = this.#options;
    if (!this.#isFresh() && !this.#isResting()) {
      if (!this.#making) await this.#start();
      else if (this.#making.epoch === epoch()) await this.#making.made;
      else {
        this.#next ??= this.#making.made.then(() => {
          this.#next = undefined;
          return this.#isResting() ? undefined : this.#start();
        });
        await this.#next;
      }
    }
    return { issuerId, list: this.#validList(), error: this.#failed?.error };
  }

  /** Never rejects; records the failure. */
  #start(): Promise<void> {
    // It started after all waiting callers had asked.
    if (this.#making) return this.#making.made;
    const { epoch, make, clock } = this.#options;
    const since = epoch();
    const made = make(since)
      .then(
        (list) => {
          this.#last = list;
          this.#failed = undefined;
        },
        (error) => {
          this.#failed = { atMs: clock.now().getTime(), error };
        },
      )
      .finally(() => {
        this.#making = undefined;
      });
    this.#making = { epoch: since, made };
    return made;
  }

  #isFresh(): boolean {
    if (!this.#last || this.#last.epoch !== this.#options.epoch()) return false;
    const leftMs = this.#last.remakeAtMs - this.#options.clock.now().getTime();
    // If the clock was set back, more time than that is left.
    return leftMs > 0 && leftMs <= lifeMs / 2;
  }

  #isResting(): boolean {
    return !!this.#failed && Math.abs(this.#options.clock.now().getTime() - this.#failed.atMs) < restMs;
  }

  #validList(): RevocationList | undefined {
    return this.#last && this.#last.nextUpdate > this.#options.clock.now() ? this.#last : undefined;
  }
}
