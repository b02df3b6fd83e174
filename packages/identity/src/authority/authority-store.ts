// Where the CA comes from at start: made once, loaded ever after, its issuing tier replaced at 2/3 of its life.
// Key first, registry second: a crash in between leaves a key for the next attempt, never a certificate without one.

import { authorityFacts } from '../audit/audited-facts.ts';
import { CertificateAuthority, makeIssuing, makeRoot } from '../certificate/authority.ts';
import { isIssuedBy } from '../certificate/peer-certificate.ts';
import type { Signer } from '../certificate/signer.ts';
import { makeTrustDomain, parseTrustDomain } from '../certificate/spiffe-id.ts';
import { type ClockWatch, type RunningClock, steadyAfterMs } from '../clock.ts';
import type { PairingCrypto } from '../crypto/port.ts';
import { makeUlid, type Ulid } from '../device-id.ts';
import { IdentityError } from '../errors.ts';
import type { AuthorityRecord, Registry, RegistryReads, RegistryTransaction } from '../registry/port.ts';
import type { SecretReader, SecretStore } from '../secret-store/port.ts';
import { type AuthorityKeys, checkKeyPlace, keyPlaceSetting, loadFromPlace } from './authority-keys.ts';

export interface AuthorityStoreOptions {
  readonly secrets: SecretStore;
  readonly keys: AuthorityKeys;
  readonly registry: Registry;
  readonly crypto: PairingCrypto;
  readonly clock: RunningClock;
  readonly clockWatch: ClockWatch;
  /** Only for the first start; made up when absent. */
  readonly trustDomain: string | undefined;
}

export interface LoadedAuthority {
  readonly daemonId: Ulid;
  readonly trustDomain: string;
  readonly rootId: Ulid;
  readonly issuerId: Ulid;
  /** When the CA that issues is valid. */
  readonly issuerLife: Pick<AuthorityRecord, 'notBefore' | 'notAfter'>;
  readonly authority: CertificateAuthority;
  /** Every root that counts: prepared, active, trusted. DER, the active one first. */
  readonly trustBundle: readonly Uint8Array[];
  /** Issuing CAs of these roots whose certificates count. DER. */
  readonly issuers: readonly Uint8Array[];
}

/** Holds the daemon's id once the first start is complete: tells a lost or foreign registry from a new home. */
const createdMarker = 'daemon/created';

/** The daemon that a secret store is of; undefined before its first start was complete. */
export async function daemonOf(secrets: SecretReader): Promise<string | undefined> {
  if ((await secrets.list(createdMarker)).length === 0) return undefined;
  return new TextDecoder().decode(await secrets.read(createdMarker));
}

/** @returns the daemon's id. @throws REGISTRY_LOST when the registry is of no daemon or of another one than the secrets. */
export async function mustBelongTogether(
  secrets: SecretReader,
  registry: Pick<RegistryReads, 'setting'>,
): Promise<string> {
  const [made, present] = [await daemonOf(secrets), await registry.setting('daemon_id')];
  if (made !== undefined && made === present) return made;
  throw registryLost(present, made);
}

/** @throws SECRET_NOT_FOUND, SIGNER_MISMATCH, STORE_FAILED when registry, keys and secret store do not belong together. */
export async function openAuthority(options: AuthorityStoreOptions): Promise<LoadedAuthority> {
  const { registry, secrets, keys } = options;
  const made = await daemonOf(secrets);
  let daemonId = (await registry.setting('daemon_id')) as Ulid | undefined;
  if (daemonId === undefined) {
    if (made !== undefined) throw registryLost(undefined, made);
    daemonId = await createDaemon(options);
  }
  if (made !== undefined && made !== daemonId) throw registryLost(daemonId, made);
  await checkKeyPlace(registry, keys);
  const trustDomain = (await registry.setting('trust_domain')) ?? '';
  if (options.trustDomain !== undefined && options.trustDomain !== trustDomain) {
    throw trustDomainFixed(trustDomain, options.trustDomain);
  }
  const loaded = await loadIssuing(options, trustDomain, 'start');
  // The root's key is needed only when an issuing CA is replaced: that it is gone should not be heard months later.
  await loadFromPlace(registry, keys, loaded.rootId);
  // At the first start, and after one that did not come as far as this.
  if (made === undefined) await secrets.write(createdMarker, new TextEncoder().encode(daemonId));
  return { daemonId, trustDomain, ...loaded };
}

/**
 * A new issuing CA when the present one is past 2/3 of its life. The old one's certificates stay good.
 *
 * A clock that has jumped is no reason to make one: until it has gone on steadily, the CAs that are there do what they can.
 * A daemon that starts has seen nothing of its clock, and may have been off for months: it makes one only where none can
 * issue. Should it be dated in the future, then it takes no part until that has come, and the one before it issues again.
 */
export async function loadIssuing(
  options: AuthorityStoreOptions,
  trustDomain: string,
  when: 'start' | 'running' = 'running',
): Promise<Omit<LoadedAuthority, 'daemonId' | 'trustDomain'>> {
  const { registry, keys, clock, crypto } = options;
  const authorities = await registry.authorities();
  const root = authorities.find((each) => each.tier === 'root' && each.state === 'active');
  if (!root) throw registryLost(undefined, undefined);
  const isSteady = options.clockWatch.isSteady();
  const known = issuingOf(authorities, root);
  const [best] = known.filter((each) => canIssue(each, clock.now()));
  const mayMake = isSteady || (when === 'start' ? !best : known.length === 0);
  const isEnough = best && !isPastTwoThirds(best, clock.now());
  const issuing =
    isEnough || !mayMake
      ? await inUse(options, root, best ?? known.find(isActive) ?? known[0])
      : await replaceIssuing(options, trustDomain, root);
  // Another root signs since, or another step was faster.
  if (!issuing) return loadIssuing(options, trustDomain, when);
  const authority = new CertificateAuthority({
    trustDomain,
    root: { der: root.der },
    issuing: { der: issuing.der, signer: await loadFromPlace(registry, keys, issuing.id) },
    clock,
    randomBytes: (length) => crypto.randomBytes(length),
  });
  const others = authorities.filter(
    (each) => each.tier === 'root' && (each.state === 'prepared' || each.state === 'trusted'),
  );
  const trustBundle = [root, ...others].map(({ der }) => der);
  const older = authorities.filter(
    (each) => each.tier === 'issuing' && each.state !== 'retired' && each.id !== issuing.id,
  );
  const issuers = [issuing, ...older].map(({ der }) => der);
  return { rootId: root.id, issuerId: issuing.id, issuerLife: issuing, authority, trustBundle, issuers };
}

const isActive = ({ state }: AuthorityRecord) => state === 'active';

/** Those of this root that count, the one that ends last first; of two, the one that issues. */
function issuingOf(authorities: readonly AuthorityRecord[], root: AuthorityRecord): AuthorityRecord[] {
  return authorities
    .filter((each) => each.tier === 'issuing' && each.state !== 'retired' && isIssuedBy(each.der, root.der))
    .sort((a, b) => b.notAfter.getTime() - a.notAfter.getTime() || Number(isActive(b)) - Number(isActive(a)));
}

/** Whether what it issues now is valid now, and for a moment longer. */
function canIssue({ notBefore, notAfter }: AuthorityRecord, now: Date): boolean {
  return notBefore <= now && notAfter.getTime() - now.getTime() >= leastLeftMs;
}

/** An issuing CA that has no more left is no longer waited with, ms. */
const leastLeftMs = 2 * steadyAfterMs;

const isPastTwoThirds = (life: LoadedAuthority['issuerLife'], now: Date) => isPast(2 / 3, life, now);

function isPast(share: number, { notBefore, notAfter }: LoadedAuthority['issuerLife'], now: Date): boolean {
  return now.getTime() >= notBefore.getTime() + (notAfter.getTime() - notBefore.getTime()) * share;
}

/** An issuing CA that another one should have followed weeks ago, or that has ended. */
export function overdue(life: LoadedAuthority['issuerLife'], now: Date): IdentityError | undefined {
  if (!isPast(5 / 6, life, now)) return undefined;
  return new IdentityError(
    'CLOCK_WRONG',
    `The issuing CA ends at ${life.notAfter.toISOString()}, and the daemon has made no other: it does so when this machine's clock has gone on steadily for 10 minutes. If this stays so for longer, something sets the clock again and again, or changes the answers of its time servers: stop that, and restart the daemon if the CA has ended.`,
  );
}

async function createDaemon(options: AuthorityStoreOptions): Promise<Ulid> {
  const { registry, crypto, clock } = options;
  const trustDomain = options.trustDomain
    ? parseTrustDomain(options.trustDomain)
    : makeTrustDomain(crypto.randomBytes(10));
  const root = await newRoot(options, trustDomain, 'active');
  const now = clock.now();
  const daemonId = makeUlid(now, crypto.randomBytes(10));
  await registry.transact(async (tx) => {
    await tx.putSetting('daemon_id', daemonId);
    await tx.putSetting('trust_domain', trustDomain);
    await tx.putSetting(keyPlaceSetting, JSON.stringify(options.keys.place));
    await tx.appendAudit({
      at: now,
      action: 'daemon.created',
      subject: daemonId,
      detail: { trustDomain, keys: JSON.stringify(options.keys.place) },
    });
    await insertAuthority(tx, root, now);
  });
  return daemonId;
}

/** A root with a key of its own, in its place but not yet in the registry. */
export async function newRoot(
  options: AuthorityStoreOptions,
  trustDomain: string,
  state: 'prepared' | 'active',
): Promise<AuthorityRecord> {
  const { crypto, clock } = options;
  const { id, signer } = await newKey(options, 'root');
  const randomBytes = (length: number) => crypto.randomBytes(length);
  return { id, tier: 'root', state, ...(await makeRoot({ trustDomain, signer, clock, randomBytes })) };
}

/**
 * The key of the next authority of this tier, and the id it has until `insertAuthority`: what fails before that and is
 * tried again, in a later process too, takes up the same key. A token would fill up with those that nobody uses.
 */
async function newKey(
  { registry, keys, crypto, clock }: AuthorityStoreOptions,
  tier: AuthorityRecord['tier'],
): Promise<{ id: Ulid; signer: Signer }> {
  const setting = nextIdSetting(tier);
  const id = await registry.transact(async (tx) => {
    const given = (await tx.setting(setting)) || makeUlid(clock.now(), crypto.randomBytes(10));
    await tx.putSetting(setting, given);
    return given as Ulid;
  });
  return { id, signer: await keys.make(id) };
}

const nextIdSetting = (tier: AuthorityRecord['tier']) => `next_authority/${tier}`;

/**
 * The one that issues from now on: another than before when that was dated by a clock that was ahead, or the clock is behind.
 * @returns undefined when the authorities have changed meanwhile.
 */
async function inUse(
  { registry, clock }: AuthorityStoreOptions,
  root: AuthorityRecord,
  chosen: AuthorityRecord | undefined,
): Promise<AuthorityRecord | undefined> {
  if (!chosen || isActive(chosen)) return chosen;
  return registry.transact(async (tx) => {
    const authorities = await tx.authorities();
    if (!authorities.some((each) => each.id === root.id && isActive(each))) return undefined;
    if (!(await tx.moveAuthority(chosen.id, 'trusted', 'active'))) return undefined;
    const others = authorities.filter((each) => each.tier === 'issuing' && isActive(each));
    for (const { id } of others) await tx.moveAuthority(id, 'active', 'trusted');
    const at = clock.now();
    const detail = { tier: 'issuing', by: chosen.id };
    // After a root came back, there is no other.
    for (const subject of others.length > 0 ? others.map(({ id }) => id) : [chosen.id])
      await tx.appendAudit({ at, action: 'authority.replaced', subject, detail });
    return { ...chosen, state: 'active' };
  });
}

/** @returns undefined when the root does not sign any more; then nothing has changed. */
async function replaceIssuing(
  options: AuthorityStoreOptions,
  trustDomain: string,
  root: AuthorityRecord,
): Promise<AuthorityRecord | undefined> {
  const { registry, keys, crypto, clock } = options;
  // Before the new key is made: without the old one there is no use for it.
  const rootSigner = await loadFromPlace(registry, keys, root.id);
  mustBeValid(root, clock.now());
  const { id, signer } = await newKey(options, 'issuing');
  const issued = await makeIssuing({
    trustDomain,
    root: { der: root.der, signer: rootSigner },
    publicKey: signer.publicKey,
    clock,
    randomBytes: (length) => crypto.randomBytes(length),
  });
  const record: AuthorityRecord = { id, tier: 'issuing', state: 'active', ...issued };
  const now = clock.now();
  return registry.transact(async (tx) => {
    // What was read before the signature may be the past: a step of a root rotation, or the same work done elsewhere.
    const authorities = await tx.authorities();
    if (!authorities.some((each) => each.id === root.id && isActive(each))) return undefined;
    const present = issuingOf(authorities, root).find(
      (each) => isActive(each) && canIssue(each, now) && !isPastTwoThirds(each, now),
    );
    if (present) return present;
    await insertAuthority(tx, record, now);
    for (const { id } of authorities.filter((each) => each.tier === 'issuing' && isActive(each))) {
      await tx.moveAuthority(id, 'active', 'trusted');
      const detail = { tier: 'issuing' };
      await tx.appendAudit({ at: now, action: 'authority.replaced', subject: id, detail });
    }
    return record;
  });
}

/** @throws CERTIFICATE_NOT_YET_VALID, CERTIFICATE_EXPIRED */
function mustBeValid({ notBefore, notAfter }: AuthorityRecord, now: Date): void {
  const isEarly = notBefore > now;
  if (!isEarly && notAfter > now) return;
  const what = isEarly
    ? `This machine's clock is before the start of its authority, ${notBefore.toISOString()}`
    : `The root of this machine's authority has ended at ${notAfter.toISOString()}, and its clock says ${now.toISOString()}`;
  throw new IdentityError(
    isEarly ? 'CERTIFICATE_NOT_YET_VALID' : 'CERTIFICATE_EXPIRED',
    `${what}. If the clock is wrong, set the clock. If it is right, and was wrong when the authority was made, this says what it costs to make another: palyra ca set-aside`,
  );
}

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

/** @param present whose the registry is. @param made whose the secrets are. */
function registryLost(present: string | undefined, made: string | undefined): IdentityError {
  const what =
    present !== undefined && made !== undefined
      ? `The secret store belongs to the daemon ${made}, and the registry beside it to another one, ${present}.`
      : present !== undefined
        ? `The registry belongs to the daemon ${present}, and the secret store beside it to none: it is lost.`
        : 'The secret store belongs to a daemon, but the registry beside it is lost: it is empty or incomplete.';
  return new IdentityError(
    'REGISTRY_LOST',
    `${what} Put both back from one backup: palyra restore FILE. Without one, start with a new home; every device then has to pair again.`,
  );
}

function trustDomainFixed(present: string, wanted: string): IdentityError {
  return new IdentityError(
    'MESSAGE_INVALID',
    `The trust domain of this home is ${present}, and every device is pinned to it: it cannot become ${wanted}. Take trustDomain out of the configuration, or start with a new home.`,
  );
}
