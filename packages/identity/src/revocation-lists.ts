// Revocation lists as they are handed out: one for each authority whose certificates may still be in use, numbered, made
// anew when something was revoked and before they run out. A root revokes nothing, but programs that check a whole chain
// (nginx, HAProxy) ask for its list as well.

import type { AuthorityStoreOptions } from './authority-store.ts';
import { MAX_LISTED, makeRevocationList } from './certificate/revocation-list.ts';
import type { Ulid } from './device-id.ts';
import type { AuthorityRecord } from './registry/port.ts';

export interface RevocationList {
  readonly issuerId: Ulid;
  /** DER. */
  readonly der: Uint8Array;
  readonly number: number;
  readonly nextUpdate: Date;
}

/** How long a list is good, ms; it is made anew at half of it. */
const lifeMs = 24 * 60 * 60_000;
/** Clocks of the machines that use a list may be behind by this much, ms. */
const backdateMs = 60_000;

interface Cached extends RevocationList {
  readonly epoch: number;
  readonly remakeAtMs: number;
}

export class RevocationLists {
  readonly #options: AuthorityStoreOptions;
  readonly #trustDomain: string;
  readonly #cached = new Map<Ulid, Cached>();
  /** Moves with every revocation. */
  #epoch = 0;
  #making: Promise<unknown> = Promise.resolve();

  constructor(options: AuthorityStoreOptions, trustDomain: string) {
    this.#options = options;
    this.#trustDomain = trustDomain;
    options.registry.subscribe(({ type }) => {
      if (type === 'device_revoked' || type === 'certificate_revoked') this.#epoch += 1;
    });
  }

  /** Of each issuing CA that has not ended, the active one first; then of the roots that are trusted. */
  async current(): Promise<RevocationList[]> {
    const now = this.#options.clock.now();
    const rank = ({ tier, state }: AuthorityRecord) => (tier === 'root' ? 2 : state === 'active' ? 0 : 1);
    const authorities = (await this.#options.registry.authorities())
      .filter(({ tier, state, notAfter }) => notAfter > now && !(tier === 'root' && state === 'retired'))
      .sort((a, b) => rank(a) - rank(b));
    // One at a time, so that two requests do not make two lists of one number.
    const lists = this.#making.then(() => Promise.all(authorities.map((each) => this.#list(each))));
    this.#making = lists.catch(() => {});
    return lists;
  }

  async #list(authority: AuthorityRecord): Promise<RevocationList> {
    const { registry, clock, keys } = this.#options;
    const now = clock.now();
    const epoch = authority.tier === 'root' ? 0 : this.#epoch;
    const cached = this.#cached.get(authority.id);
    const age = cached ? cached.remakeAtMs - now.getTime() : 0;
    if (cached && cached.epoch === epoch && age > 0 && age <= lifeMs / 2) return cached;
    const signer = await keys.load(authority.id);
    const revoked = await registry.revokedCertificates({ issuerId: authority.id, now, limit: MAX_LISTED });
    const name = `revocation_list_number/${authority.id}`;
    const number = await registry.transact(async (tx) => {
      // At least the time in milliseconds: a restored registry remembers a number from before, and what reads lists takes
      // no number twice (RFC 5280 5.2.3).
      const next = Math.max(Number((await tx.setting(name)) ?? '0') + 1, now.getTime());
      await tx.putSetting(name, String(next));
      return next;
    });
    const nextUpdate = new Date(Math.min(now.getTime() + lifeMs, authority.notAfter.getTime()));
    const der = await makeRevocationList(signer, {
      tier: authority.tier,
      trustDomain: this.#trustDomain,
      number,
      thisUpdate: new Date(now.getTime() - backdateMs),
      nextUpdate,
      revoked,
    });
    const made = {
      issuerId: authority.id,
      der,
      number,
      nextUpdate,
      epoch,
      remakeAtMs: now.getTime() + lifeMs / 2,
    };
    this.#cached.set(authority.id, made);
    return made;
  }
}
