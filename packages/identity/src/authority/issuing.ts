// Chooses the present issuing CA by the clock, and replaces it after 2/3 of its life.

import { CertificateAuthority, makeIssuing } from '../certificate/authority.ts';
import { isIssuedBy } from '../certificate/peer-certificate.ts';
import { renewalDueAt } from '../certificate/renewal-share.ts';
import { steadyAfterMs } from '../clock.ts';
import type { Ulid } from '../device-id.ts';
import { IdentityError } from '../errors.ts';
import type { AuthorityRecord } from '../registry/port.ts';
import { loadFromPlace } from './authority-keys.ts';
import { registryLost } from './belonging.ts';
import { type AuthorityStoreOptions, insertAuthority, newKey, type Present } from './new-authority.ts';

export interface LoadedIssuing {
  readonly rootId: Ulid;
  readonly issuerId: Ulid;
  /** The validity of the present issuing CA. */
  readonly issuerLife: Pick<AuthorityRecord, 'notBefore' | 'notAfter'>;
  readonly ca: CertificateAuthority;
  /** Every prepared, active or trusted root, DER; the active one first. */
  readonly trustBundle: readonly Uint8Array[];
  /** Issuing CAs of these roots with valid certificates, DER. */
  readonly issuers: readonly Uint8Array[];
  /** The states of all authorities from which this was loaded. */
  readonly states: string;
}

/**
 * Makes a new issuing CA if the present one is past 2/3 of its life. The certificates of the old one stay valid.
 *
 * After a jump of the clock, the daemon makes no CA until the clock has run steadily; the existing CAs continue. A
 * daemon that has just started knows nothing about its clock, and may have been off for months: it makes a CA only if
 * none can issue. A CA dated in the future is not used until then, and the previous one issues again.
 */
export async function loadIssuing(
  options: AuthorityStoreOptions,
  trustDomain: string,
  when: 'start' | 'running' = 'running',
): Promise<LoadedIssuing> {
  const { registry, keys, clock, crypto } = options;
  // Before the authorities: if they change in between, what is loaded counts as out of date.
  const states = await registry.authorityStates();
  const authorities = await registry.authorities();
  const root = authorities.find((each) => each.tier === 'root' && each.state === 'active');
  if (!root) throw registryLost(undefined, undefined);
  const isSteady = options.clockWatch.isSteady();
  const known = issuingOf(authorities, root);
  const [best] = known.filter((each) => canIssue(each, clock.now()));
  const mayMake = isSteady || (when === 'start' ? !best : known.length === 0);
  const isEnough = best && !isRenewalDue(best, clock.now());
  const issuing =
    isEnough || !mayMake
      ? await inUse(options, root, best ?? known.find(isActive) ?? known[0])
      : await replaceIssuing(options, trustDomain, root);
  // Another root signs now, or another step was faster.
  if (!issuing) return loadIssuing(options, trustDomain, when);
  const ca = new CertificateAuthority({
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
  return { rootId: root.id, issuerId: issuing.id, issuerLife: issuing, ca, trustBundle, issuers, states };
}

const isActive = ({ state }: AuthorityRecord) => state === 'active';

/** The usable CAs of this root, the latest end first; of equal ends, the issuing one first. */
function issuingOf(authorities: readonly AuthorityRecord[], root: AuthorityRecord): AuthorityRecord[] {
  return authorities
    .filter((each) => each.tier === 'issuing' && each.state !== 'retired' && isIssuedBy(each.der, root.der))
    .sort((a, b) => b.notAfter.getTime() - a.notAfter.getTime() || Number(isActive(b)) - Number(isActive(a)));
}

/** Whether its certificates would be valid now, and for a moment longer. */
function canIssue({ notBefore, notAfter }: AuthorityRecord, now: Date): boolean {
  return notBefore <= now && notAfter.getTime() - now.getTime() >= leastLeftMs;
}

/** An issuing CA with less time left is replaced without further waiting, ms. */
const leastLeftMs = 2 * steadyAfterMs;

const isRenewalDue = (life: LoadedIssuing['issuerLife'], now: Date) => now >= renewalDueAt(life);

function isPast(share: number, { notBefore, notAfter }: LoadedIssuing['issuerLife'], now: Date): boolean {
  return now.getTime() >= notBefore.getTime() + (notAfter.getTime() - notBefore.getTime()) * share;
}

/** Reports an issuing CA that should have been replaced weeks ago, or that has expired. */
export function overdue(life: LoadedIssuing['issuerLife'], now: Date): IdentityError | undefined {
  if (!isPast(5 / 6, life, now)) return undefined;
  return new IdentityError(
    'CLOCK_WRONG',
    `The issuing CA ends at ${life.notAfter.toISOString()}, and the daemon has not replaced it yet: it does so once this machine's clock has run steadily for 10 minutes. If the problem persists, something keeps setting the clock, or the answers of its time servers keep changing. Stop that, and restart the daemon if the CA has ended.`,
  );
}

/**
 * Chooses the CA that issues from now on. It differs from the previous one if that was dated by a fast clock, or if the
 * clock is behind.
 * @returns undefined if the authorities have changed meanwhile.
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
    // After a return to an old root, there is no other CA.
    for (const subject of others.length > 0 ? others.map(({ id }) => id) : [chosen.id])
      await tx.appendAudit({ at, action: 'authority.replaced', subject, detail });
    return { ...chosen, state: 'active' };
  });
}

/** @returns undefined if the root no longer signs; then nothing was changed. */
async function replaceIssuing(
  options: AuthorityStoreOptions,
  trustDomain: string,
  root: AuthorityRecord,
): Promise<AuthorityRecord | undefined> {
  const { registry, keys, crypto, clock } = options;
  // Loaded before the new key is made, which is useless without the old one.
  const rootSigner = await loadFromPlace(registry, keys, root.id);
  mustBeValid(root, clock.now());
  const look: Present<AuthorityRecord | undefined> = async (tx) => {
    // The data read before may be out of date, after a rotation step or the same work elsewhere.
    const authorities = await tx.authorities();
    if (!authorities.some((each) => each.id === root.id && isActive(each))) return { present: undefined };
    const now = clock.now();
    const present = issuingOf(authorities, root).find(
      (each) => isActive(each) && canIssue(each, now) && !isRenewalDue(each, now),
    );
    return present && { present };
  };
  const made = await newKey(options, 'issuing', look);
  if ('present' in made) return made.present;
  const { id, signer } = made;
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
    const found = await look(tx);
    if (found) return found.present;
    await insertAuthority(tx, record, now);
    const others = (await tx.authorities()).filter((each) => each.tier === 'issuing' && isActive(each));
    for (const { id } of others.filter((each) => each.id !== record.id)) {
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
    `${what}. If the clock is wrong, set the clock.`,
    { about: 'root' },
  );
}
