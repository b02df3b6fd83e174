// A new root or issuing CA: its key first, the registry second. A crash in between leaves a key for the next attempt.

import { authorityFacts } from '../audit/audited-facts.ts';
import { makeRoot } from '../certificate/authority.ts';
import type { Signer } from '../certificate/signer.ts';
import type { ClockWatch, RunningClock } from '../clock.ts';
import type { PairingCrypto } from '../crypto/port.ts';
import { makeUlid, type Ulid } from '../device-id.ts';
import type { AuthorityRecord, Registry, RegistryTransaction } from '../registry/port.ts';
import type { SharedSecretStore } from '../secret-store/port.ts';
import type { AuthorityKeys } from './authority-keys.ts';

export interface AuthorityStoreOptions {
  readonly secrets: SharedSecretStore;
  readonly keys: AuthorityKeys;
  readonly registry: Registry;
  readonly crypto: PairingCrypto;
  readonly clock: RunningClock;
  readonly clockWatch: ClockWatch;
  /** Only for the first start. Default: a random one. */
  readonly trustDomain: string | undefined;
}

/** Asked before a key is made, because another daemon of a fleet may have been faster. Undefined: the key is needed. */
export type Present<T> = (tx: RegistryTransaction) => Promise<{ readonly present: T } | undefined>;

/** Makes a root with a new key. The key is in its place, but the root is not yet in the registry. */
export async function newRoot(
  options: AuthorityStoreOptions,
  trustDomain: string,
  state: 'prepared' | 'active',
  look: Present<never>,
): Promise<AuthorityRecord>;
export async function newRoot<T>(
  options: AuthorityStoreOptions,
  trustDomain: string,
  state: 'prepared' | 'active',
  look: Present<T>,
): Promise<AuthorityRecord | { readonly present: T }>;
export async function newRoot<T>(
  options: AuthorityStoreOptions,
  trustDomain: string,
  state: 'prepared' | 'active',
  look: Present<T>,
): Promise<AuthorityRecord | { readonly present: T }> {
  const { crypto, clock } = options;
  const made = await newKey(options, 'root', look);
  if ('present' in made) return made;
  const { id, signer } = made;
  const randomBytes = (length: number) => crypto.randomBytes(length);
  return { id, tier: 'root', state, ...(await makeRoot({ trustDomain, signer, clock, randomBytes })) };
}

/**
 * The key of the next authority of this tier, with an id reserved until `insertAuthority`. A retry after a failure uses
 * this key again, even in a later process, so that a token does not fill up with unused keys.
 */
export async function newKey<T>(
  { registry, keys, crypto, clock }: AuthorityStoreOptions,
  tier: AuthorityRecord['tier'],
  look: Present<T>,
): Promise<{ readonly id: Ulid; readonly signer: Signer } | { readonly present: T }> {
  const setting = nextIdSetting(tier);
  const reserved = await registry.transact(async (tx) => {
    const found = await look(tx);
    if (found) return found;
    const given = (await tx.setting(setting)) || makeUlid(clock.now(), crypto.randomBytes(10));
    await tx.putSetting(setting, given);
    return { id: given as Ulid };
  });
  if ('present' in reserved) return reserved;
  const { id } = reserved;
  // The secret store keeps one key, whoever is first. A token does not: daemons that share it take turns.
  const takesTurns = registry.isShared && keys.place.provider === 'pkcs11';
  const signer = takesTurns ? await registry.transact(() => keys.make(id)) : await keys.make(id);
  return { id, signer };
}

const nextIdSetting = (tier: AuthorityRecord['tier']) => `next_authority/${tier}`;

export async function insertAuthority(
  tx: RegistryTransaction,
  record: AuthorityRecord,
  now: Date,
): Promise<void> {
  await tx.insertAuthority(record);
  await tx.putSetting(nextIdSetting(record.tier), '');
  await tx.appendAudit({
    at: now,
    action: 'authority.created',
    subject: record.id,
    detail: authorityFacts(record),
  });
}
