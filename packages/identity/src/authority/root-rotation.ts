// A new root, without losing a device: first every device learns to trust it, then it signs, then the old one goes.
//
//   none ──prepare──> prepared ──activate──> activated ──finish──> none
//                        │                      │
//                        └─rollback─> none      └─rollback: the two roots change places
//
// A device learns of a root with any certificate it is handed. So those that use a certificate made after `prepare` are
// ready for `activate`, and those that use one made after `activate` are ready for `finish`.

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
  /** Certificates from then on are new enough: when the phase began, as a rule. Undefined for `none`. */
  readonly since: Date | undefined;
  /** Devices that the next step would lose; at most `limit` of those asked for. */
  readonly behind: readonly Device[];
}

interface Stored {
  readonly phase: 'prepared' | 'activated';
  readonly sinceMs: number;
  /** The root that is coming, or has come. */
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
   * Makes the new root. From now on every certificate is handed out together with it.
   * @param actor who does it; so for every step.
   * @throws ROTATION_CONFLICT
   */
  async prepare(actor?: Actor): Promise<void> {
    const { registry, clock } = this.#options;
    if (await this.#stored(registry)) throw conflict('A root rotation is under way already.');
    const root = await newRoot(this.#options, this.#trustDomain, 'prepared');
    const now = clock.now();
    await transactBy(this.#options, actor, async (tx, by) => {
      if (await this.#stored(tx)) throw conflict('A root rotation is under way already.');
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
   * The new root signs from now on; what the old one signed still counts.
   * @param force also when devices would be lost.
   * @throws ROTATION_CONFLICT, ROTATION_NOT_READY naming devices
   */
  async activate(force: boolean, actor?: Actor): Promise<void> {
    await this.#ready(force);
    await this.#change('prepared', 'root.activated', actor, async (tx, stored, roots, now) => {
      await swap(tx, roots, stored.rootId, 'prepared');
      return { ...stored, phase: 'activated', sinceMs: await sinceMs(tx, now) };
    });
  }

  /** The old root counts no more, and nothing that it vouches for. @throws as `activate`. */
  async finish(force: boolean, actor?: Actor): Promise<void> {
    await this.#ready(force);
    await this.#change('activated', 'root.finished', actor, async (tx, _stored, roots, now) => {
      for (const root of roots) if (root.state === 'trusted') await retire(tx, root, now);
      return undefined;
    });
  }

  /** Back to the old root: a prepared one is dropped, an activated one changes places with the old. */
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
        throw conflict(`The root rotation is ${stored?.phase ?? 'not under way'}.`);
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

/** For the audit. */
function describe({ phase, sinceMs, rootId }: Stored): Record<string, string | number> {
  return { phase, since: sinceMs, root: rootId };
}

/** After every certificate that is there: when the clock was set back, some are from what is the future now. */
async function sinceMs(tx: RegistryTransaction, now: Date): Promise<number> {
  const newest = await tx.newestCertificateAt();
  return Math.max(now.getTime(), (newest?.getTime() ?? 0) + 1);
}

/** The root that comes becomes active and the active one trusted; the issuing CA goes with the root that signed it. */
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

/** With every issuing CA that it signed: the registry refuses their certificates from this commit on. */
export async function retire(tx: RegistryTransaction, root: AuthorityRecord, now: Date): Promise<void> {
  await tx.moveAuthority(root.id, root.state, 'retired');
  for (const each of await tx.authorities()) {
    if (each.tier !== 'issuing' || each.state === 'retired' || !isIssuedBy(each.der, root.der)) continue;
    await retireIssuing(tx, each, now, root);
  }
}

/** @param root that it goes with; undefined when it goes alone. */
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
 * For a registry that was put back to an earlier time: a root or issuing CA that was retired since counts no more.
 * @param before every authority as it was last.
 * @throws ROTATION_CONFLICT when no root would be left that signs.
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
        `The root in this backup was retired since, and the one that took its place is not in it: a restore would bring back a root that counts no more.`,
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
  // Those that were set aside without their root.
  for (const each of (await tx.authorities()).filter(isRetired))
    if (each.tier === 'issuing' && !isPast(each.state)) await retireIssuing(tx, each, now);
}

/** Every state is looked at, so that a new one is not forgotten by a restore. */
function isPast(state: AuthorityRecord['state']): boolean {
  return { prepared: false, active: false, trusted: false, retired: true }[state];
}

function conflict(message: string, fields: ErrorFields = {}): IdentityError {
  return new IdentityError('ROTATION_CONFLICT', message, fields);
}
