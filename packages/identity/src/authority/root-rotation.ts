// Moves to a new root without losing a device: first every device learns to trust it, then it signs, then the old root
// is retired.
//
//   none ──prepare──> prepared ──activate──> activated ──finish──> none
//                        │                      │
//                        └─rollback─> none      └─rollback: the two roots change places
//
// A device receives the roots with every certificate. So a device that uses a certificate made after `prepare` is ready
// for `activate`, and one that uses a certificate made after `activate` is ready for `finish`.

import type { AuditAction } from '../audit/entry.ts';
import { isIssuedBy } from '../certificate/peer-certificate.ts';
import type { Ulid } from '../device-id.ts';
import { type ErrorFields, IdentityError } from '../errors.ts';
import type { Device } from '../fleet/device.ts';
import type { Actor, ActorName } from '../registry/actor.ts';
import type { AuthorityRecord, RegistryTransaction } from '../registry/port.ts';
import { transactBy } from '../registry/transact-by.ts';
import { type AuthorityStoreOptions, insertAuthority, newRoot } from './new-authority.ts';

export interface RootRotationStatus {
  readonly phase: 'none' | 'prepared' | 'activated';
  /** Certificates from this time on are new enough; usually the start of the phase. Undefined for `none`. */
  readonly since: Date | undefined;
  /** Devices that the next step would lose, at most `limit`. */
  readonly behind: readonly Device[];
}

interface Stored {
  readonly phase: 'prepared' | 'activated';
  readonly sinceMs: number;
  /** The new root. */
  readonly rootId: Ulid;
}

const settingName = 'root_rotation';
const shownBehind = 20;

export class RootRotation {
  readonly #options: AuthorityStoreOptions;
  readonly #trustDomain: string;

  constructor(options: AuthorityStoreOptions, trustDomain: string) {
    this.#options = options;
    this.#trustDomain = trustDomain;
  }

  async status(limit = shownBehind): Promise<RootRotationStatus> {
    const stored = await this.#stored(this.#options.registry);
    if (!stored) return { phase: 'none', since: undefined, behind: [] };
    const since = new Date(stored.sinceMs);
    return {
      phase: stored.phase,
      since,
      behind: await this.#options.registry.devicesBehind({ since, limit }),
    };
  }

  /**
   * Makes the new root. From now on, devices receive it with every certificate.
   * @param actor who does it; so for every step.
   * @throws ROTATION_CONFLICT
   */
  async prepare(actor?: Actor): Promise<void> {
    const { clock } = this.#options;
    const mustBeFirst = async (tx: RegistryTransaction): Promise<undefined> => {
      if (await this.#stored(tx)) throw conflict('A root rotation is already in progress.');
    };
    const root = await newRoot(this.#options, this.#trustDomain, 'prepared', mustBeFirst);
    const now = clock.now();
    await transactBy(this.#options, actor, async (tx, by) => {
      await mustBeFirst(tx);
      await insertAuthority(tx, root, now);
      await this.#record(
        tx,
        { phase: 'prepared', sinceMs: await sinceMs(tx, now), rootId: root.id },
        'root.prepared',
        now,
        by,
      );
    });
  }

  /**
   * Makes the new root sign from now on. Certificates under the old root stay valid.
   * @param force continue even if devices would be lost.
   * @throws ROTATION_CONFLICT, ROTATION_NOT_READY naming devices
   */
  async activate(force: boolean, actor?: Actor): Promise<void> {
    await this.#ready(force);
    await this.#change('prepared', 'root.activated', actor, async (tx, stored, roots, now) => {
      await swap(tx, roots, stored.rootId, 'prepared');
      return { ...stored, phase: 'activated', sinceMs: await sinceMs(tx, now) };
    });
  }

  /** Retires the old root, with every certificate under it. @throws as `activate`. */
  async finish(force: boolean, actor?: Actor): Promise<void> {
    await this.#ready(force);
    await this.#change('activated', 'root.finished', actor, async (tx, _stored, roots, now) => {
      for (const root of roots) if (root.state === 'trusted') await retire(tx, root, now);
      return undefined;
    });
  }

  /** Returns to the old root. A prepared new root is dropped; an activated one swaps places with the old one. */
  async rollback(actor?: Actor): Promise<void> {
    const stored = await this.#stored(this.#options.registry);
    if (stored?.phase === 'prepared') {
      await this.#change('prepared', 'root.rolled_back', actor, async (tx, { rootId }) => {
        await tx.moveAuthority(rootId, 'prepared', 'retired');
        return undefined;
      });
      return;
    }
    await this.#change('activated', 'root.rolled_back', actor, async (tx, { phase }, roots, now) => {
      const old = roots.find((root) => root.state === 'trusted');
      if (!old) throw conflict('There is no older root to go back to.');
      await swap(tx, roots, old.id, 'trusted');
      return { phase, sinceMs: await sinceMs(tx, now), rootId: old.id };
    });
  }

  async #ready(force: boolean): Promise<void> {
    const { behind } = await this.status();
    if (force || behind.length === 0) return;
    const names = behind.map((device) => `${device.name} (${device.id})`).join(', ');
    const more = behind.length === shownBehind ? ' and maybe more' : '';
    throw new IdentityError('ROTATION_NOT_READY', `These devices would be lost: ${names}${more}.`);
  }

  async #change(
    phase: Stored['phase'],
    action: AuditAction,
    actor: Actor | undefined,
    work: (
      tx: RegistryTransaction,
      stored: Stored,
      roots: readonly AuthorityRecord[],
      now: Date,
    ) => Promise<Stored | undefined>,
  ): Promise<void> {
    const now = this.#options.clock.now();
    await transactBy(this.#options, actor, async (tx, by) => {
      const stored = await this.#stored(tx);
      if (stored?.phase !== phase) {
        throw conflict(`The root rotation is ${stored?.phase ?? 'not in progress'}.`);
      }
      const roots = (await tx.authorities()).filter((each) => each.tier === 'root');
      await this.#record(tx, await work(tx, stored, roots, now), action, now, by, stored.rootId);
    });
  }

  async #record(
    tx: RegistryTransaction,
    next: Stored | undefined,
    action: AuditAction,
    now: Date,
    by: ActorName | undefined,
    rootId = next?.rootId,
  ): Promise<void> {
    await tx.putSetting(settingName, next ? JSON.stringify(next) : '');
    await tx.appendAudit({
      at: now,
      action,
      subject: rootId ?? '',
      detail: { ...(next ? describe(next) : { phase: 'none' }), ...(by && { by }) },
    });
  }

  async #stored(reads: Pick<RegistryTransaction, 'setting'>): Promise<Stored | undefined> {
    const text = await reads.setting(settingName);
    return text ? JSON.parse(text) : undefined;
  }
}

/** The facts for the audit log. */
function describe({ phase, sinceMs, rootId }: Stored): Record<string, string | number> {
  return { phase, since: sinceMs, root: rootId };
}

/** A time after every existing certificate. If the clock was set back, some certificates are from the future. */
async function sinceMs(tx: RegistryTransaction, now: Date): Promise<number> {
  const newest = await tx.newestCertificateAt();
  return Math.max(now.getTime(), (newest?.getTime() ?? 0) + 1);
}

/** The new root becomes active and the active one trusted. The issuing CA changes with the root that signed it. */
async function swap(
  tx: RegistryTransaction,
  roots: readonly AuthorityRecord[],
  comingId: Ulid,
  from: 'prepared' | 'trusted',
): Promise<void> {
  const active = roots.find((root) => root.state === 'active');
  if (active) await tx.moveAuthority(active.id, 'active', 'trusted');
  await tx.moveAuthority(comingId, from, 'active');
  for (const each of await tx.authorities()) {
    if (each.tier === 'issuing' && each.state === 'active')
      await tx.moveAuthority(each.id, 'active', 'trusted');
  }
}

/** Also retires every issuing CA of the root. From this commit on, the registry refuses their certificates. */
export async function retire(tx: RegistryTransaction, root: AuthorityRecord, now: Date): Promise<void> {
  await tx.moveAuthority(root.id, root.state, 'retired');
  for (const each of await tx.authorities()) {
    if (each.tier !== 'issuing' || each.state === 'retired' || !isIssuedBy(each.der, root.der)) continue;
    await retireIssuing(tx, each, now, root);
  }
}

/** @param root the root that is retired with it; undefined if it is retired alone. */
export async function retireIssuing(
  tx: RegistryTransaction,
  { id, state }: AuthorityRecord,
  now: Date,
  root?: AuthorityRecord,
): Promise<void> {
  await tx.moveAuthority(id, state, 'retired');
  const detail = { tier: 'issuing', ...(root && { root: root.id }) };
  await tx.appendAudit({ at: now, action: 'authority.retired', subject: id, detail });
  tx.emit({ type: 'authority_retired', issuerId: id });
}

/**
 * For a restored registry: a root or issuing CA that was retired after the backup stays retired.
 * @param before every authority in its last state.
 * @throws ROTATION_CONFLICT if no signing root would be left.
 */
export async function retireRootsAgain(
  tx: RegistryTransaction,
  before: readonly AuthorityRecord[],
  now: Date,
): Promise<void> {
  const isRetired = ({ id }: AuthorityRecord) => before.some((each) => each.id === id && isPast(each.state));
  const roots = async () => (await tx.authorities()).filter(({ tier }) => tier === 'root');
  const append = (action: AuditAction, subject: Ulid, detail: Record<string, string | number>) =>
    tx.appendAudit({ at: now, action, subject, detail: { ...detail, restore: true } });
  const active = (await roots()).find(({ state }) => state === 'active');
  if (active && isRetired(active)) {
    const signer = before.find(({ tier, state }) => tier === 'root' && state === 'active');
    const coming = (await roots()).find(({ id }) => id === signer?.id);
    if (coming?.state !== 'prepared' && coming?.state !== 'trusted') {
      throw conflict(
        `The root in this backup has since been retired, and the backup does not contain its successor: a restore would bring back a root that is no longer trusted.`,
        { about: 'backup' },
      );
    }
    await swap(tx, await roots(), coming.id, coming.state);
    const next: Stored = { phase: 'activated', sinceMs: await sinceMs(tx, now), rootId: coming.id };
    await tx.putSetting(settingName, JSON.stringify(next));
    await append(
      coming.state === 'prepared' ? 'root.activated' : 'root.rolled_back',
      coming.id,
      describe(next),
    );
  }
  for (const root of (await roots()).filter(isRetired)) {
    const { id, state } = root;
    if (isPast(state)) continue;
    await retire(tx, root, now);
    await tx.putSetting(settingName, '');
    await append(state === 'prepared' ? 'root.rolled_back' : 'root.finished', id, { phase: 'none' });
  }
  // Issuing CAs that were set aside without their root.
  for (const each of (await tx.authorities()).filter(isRetired))
    if (each.tier === 'issuing' && !isPast(each.state)) await retireIssuing(tx, each, now);
}

/** Names every state, so that a restore cannot forget a new one. */
function isPast(state: AuthorityRecord['state']): boolean {
  return { prepared: false, active: false, trusted: false, retired: true }[state];
}

function conflict(message: string, fields: ErrorFields = {}): IdentityError {
  return new IdentityError('ROTATION_CONFLICT', message, fields);
}
