// Sets aside authorities that a wrong clock created: those that begin in the future, and a root that has expired. For a
// person who knows that the clock is right now. The daemon is stopped, and perhaps cannot start.

import { isDeepStrictEqual } from 'node:util';
import { ClockWatch, presentTime, type RunningClock, systemClock } from '../clock.ts';
import { nodeCrypto } from '../crypto/node.ts';
import { IdentityError } from '../errors.ts';
import type { AuthorityRecord, Registry } from '../registry/port.ts';
import type { SharedSecretStore } from '../secret-store/port.ts';
import { type AuthorityKeys, checkKeyPlace } from './authority-keys.ts';
import { mustBelongTogether } from './belonging.ts';
import { type AuthorityStoreOptions, insertAuthority, newRoot } from './new-authority.ts';
import { RootRotation, retire, retireIssuing } from './root-rotation.ts';

export interface SetAsideOptions {
  /** The store with the keys of the authorities. */
  readonly secrets: SharedSecretStore;
  /** The registry of the stopped daemon. */
  readonly registry: Registry;
  /** Makes the keys of the new authorities. Default: the secret store. */
  readonly authorityKeys: AuthorityKeys;
  /** Default: the system's. */
  readonly clock?: RunningClock;
  /** Called with the cost before any change, but not if nothing is wrong. It refuses by throwing. */
  readonly agree: (cost: SetAsideCost) => Promise<void>;
}

export interface SetAsideCost {
  /** The authorities to set aside. They and all their certificates become invalid. */
  readonly authorities: readonly AuthorityRecord[];
  /**
   * `new`: a new root is made, and every device must pair again. `other`: the other root of a rotation takes over, and
   * devices that do not know it must pair again. `kept`: only issuing CAs are set aside, and a device gets another
   * certificate with its identity key.
   */
  readonly root: 'new' | 'other' | 'kept';
  /** Devices that are not revoked. */
  readonly devices: number;
}

/** @returns the authorities set aside, or undefined if none is wrong by this clock. @throws CLOCK_WRONG */
export async function setAsideMisdated(options: SetAsideOptions): Promise<SetAsideCost | undefined> {
  const { secrets, registry, authorityKeys: keys, clock = systemClock, agree } = options;
  await mustBelongTogether(secrets, registry);
  await checkKeyPlace(registry, keys);
  const authorities = await registry.authorities();
  const misdatedAt = (at: Date) => authorities.filter((each) => isMisdated(each, at));
  const misdated = misdatedAt(presentTime(clock));
  if (misdated.length === 0) return undefined;

  const trustDomain = (await registry.setting('trust_domain')) ?? '';
  const clockWatch = new ClockWatch(clock);
  const store = { secrets, registry, keys, clock, clockWatch, crypto: nodeCrypto, trustDomain };
  const other = authorities.find(
    ({ tier, state }) => tier === 'root' && (state === 'prepared' || state === 'trusted'),
  );
  const isRootWrong = misdated.some(({ tier, state }) => tier === 'root' && state === 'active');
  const root = !isRootWrong ? 'kept' : other && !misdated.includes(other) ? 'other' : 'new';
  const { devices } = await registry.counts();
  const cost: SetAsideCost = { authorities: misdated, root, devices };
  await agree(cost);
  // The person may take long, and the clock may be set meanwhile. Their consent was for the earlier time.
  const now = presentTime(clock);
  if (!isDeepStrictEqual(misdatedAt(now), misdated)) throw clockHasMoved(now);

  const rotation = new RootRotation(store, trustDomain);
  const { phase } = await rotation.status();
  if (root === 'other') {
    await (phase === 'prepared' ? rotation.activate(true) : rotation.rollback());
    await rotation.finish(true);
  } else if (root === 'new') {
    if (phase === 'prepared') await rotation.rollback();
    if (phase === 'activated') await rotation.finish(true);
    await replaceRoot(store, trustDomain);
  } else if (other && misdated.includes(other)) {
    await (phase === 'prepared' ? rotation.rollback() : rotation.finish(true));
  }
  await registry.transact(async (tx) => {
    for (const each of await tx.authorities())
      if (each.tier === 'issuing' && isMisdated(each, now)) await retireIssuing(tx, each, now);
  });
  return cost;
}

/** An expired issuing CA is not misdated: the daemon replaces it by itself. */
function isMisdated({ tier, state, notBefore, notAfter }: AuthorityRecord, now: Date): boolean {
  return state !== 'retired' && (notBefore > now || (tier === 'root' && notAfter <= now));
}

function clockHasMoved(now: Date): IdentityError {
  return new IdentityError(
    'CLOCK_WRONG',
    `This machine's clock was set in the meantime: it now says ${now.toISOString()}, and at this time other authorities are wrong. Nothing was changed.`,
    { about: 'set_aside' },
  );
}

async function replaceRoot(store: AuthorityStoreOptions, trustDomain: string): Promise<void> {
  const root = await newRoot(store, trustDomain, 'active', async () => undefined);
  const now = store.clock.now();
  await store.registry.transact(async (tx) => {
    for (const each of await tx.authorities()) {
      if (each.tier !== 'root' || each.state !== 'active') continue;
      await retire(tx, each, now);
      const detail = { tier: 'root' };
      await tx.appendAudit({ at: now, action: 'authority.retired', subject: each.id, detail });
    }
    await insertAuthority(tx, root, now);
  });
}
