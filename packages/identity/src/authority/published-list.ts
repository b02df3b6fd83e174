// A revocation list as it is published.

import type { Ulid } from '../device-id.ts';

export interface RevocationList {
  readonly issuerId: Ulid;
  /** In parts, in order. */
  readonly der: readonly Uint8Array[];
  readonly number: number;
  readonly nextUpdate: Date;
}

/** The list of one authority, or the reason why there is none. */
export interface ListOfAuthority {
  readonly issuerId: Ulid;
  readonly list: RevocationList | undefined;
  /** The reason why `list` is an older one, or missing. The same object until the next try. */
  readonly error: unknown;
}

/** A list that was just made. */
export interface MadeList extends RevocationList {
  readonly epoch: number;
  readonly remakeAtMs: number;
}
