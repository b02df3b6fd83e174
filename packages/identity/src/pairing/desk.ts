// The operator's side of pairing: mint a code, see requests, decide once, and end what is over.

import { bytesToHex, hexToBytes } from '@noble/curves/utils.js';
import { endWithDeviceAfterMs } from '../audit/audited-facts.ts';
import type { AuditAction } from '../audit/entry.ts';
import type { Clock } from '../clock.ts';
import type { PairingCrypto } from '../crypto/port.ts';
import { type DeviceId, isUlid, makeUlid, type Ulid } from '../device-id.ts';
import { IdentityError } from '../errors.ts';
import type { Device, DeviceRole } from '../fleet/device.ts';
import { type HostNames, recordHostNames } from '../host-names.ts';
import type { PairingLimits } from '../limits.ts';
import type { Registry, RegistryTransaction } from '../registry/port.ts';
import { mustBeLetIn } from '../registry/standing.ts';
import { type Actor, actorName, transactBy } from '../registry/transact-by.ts';
import { formatQrUri, formatTypedCode, makeQrSecret, makeTypedSecret } from './code.ts';
import { parseDeviceName } from './name.ts';
import type { PairingSealer } from './rest.ts';
import { isDue, type Pairing, type PairingState, step } from './state.ts';

/** Certificates that are read at one time. */
const revokedAtOnce = 1000;
/** Whether its code or answer still counts for something that has no certificate. */
const isUndecided: Readonly<Record<PairingState, boolean>> = {
  waiting: true,
  pending_approval: true,
  approved: true,
  issued: false,
  active: false,
  rejected: false,
  expired: false,
  exhausted: false,
};
const undecidedStates = (Object.keys(isUndecided) as PairingState[]).filter((state) => isUndecided[state]);
const restoreReason = 'the daemon was restored from a backup';
const openStates = ['waiting', 'pending_approval', 'approved', 'issued'] as const;

export interface DeskOptions {
  readonly hostNames: HostNames;
  readonly registry: Registry;
  readonly crypto: PairingCrypto;
  readonly clock: Clock;
  readonly limits: PairingLimits;
  readonly sealer: PairingSealer;
  /** SHA-256 of the root certificate, hex: goes into QR codes. */
  readonly rootFingerprint: () => string;
  /** @throws why no certificate can be signed now. */
  readonly checkKey: () => Promise<void>;
}

export interface MintedCode {
  readonly pairing: Pairing;
  /** For a person to type, or a palyra: URI. Exists here only: the registry holds it sealed. */
  readonly code: string;
  readonly expiresAt: Date;
}

export interface ApprovalChoice {
  /** Must be set for a device id that is known with another identity key. */
  readonly replaceIdentityKey?: boolean;
  /** The operator's own name for the device. */
  readonly name?: string;
  /** Makes it an operator. Without it a known device keeps its role, and one with another key has none. */
  readonly operator?: boolean;
  /** DNS names for its certificates. Without it a known device keeps those it has, and one with another key has none. */
  readonly hostNames?: readonly string[];
  /** Who decides, for the audit. */
  readonly by?: Actor;
  /** What the person who decides was shown; a request that is not so is not approved. */
  readonly seen?: SeenRequest;
}

export interface SeenRequest {
  readonly words: string;
  /** Of the device with this id; undefined when there is none. */
  readonly role: DeviceRole | undefined;
}

export class PairingDesk {
  readonly #options: DeskOptions;

  constructor(options: DeskOptions) {
    this.#options = options;
  }

  /**
   * A fresh code.
   * @param request `address` is where devices reach the pairing listener; it goes into the QR code. `autoApprove` lets
   *   the device that uses it in without a question. `by` is who asks for it, for the audit.
   * @throws MESSAGE_INVALID for a life out of range, TOO_MANY_CODES.
   */
  async mint(request: {
    kind: 'typed' | 'qr';
    lifeMs?: number;
    address: string;
    autoApprove?: boolean;
    by?: Actor;
  }): Promise<MintedCode> {
    const { crypto, clock, limits, sealer, rootFingerprint } = this.#options;
    const { kind, autoApprove = false } = request;
    const lifeMs = request.lifeMs ?? limits.codeLifeMs;
    if (!(lifeMs >= limits.codeLifeMinMs && lifeMs <= limits.codeLifeMaxMs)) {
      throw new IdentityError(
        'MESSAGE_INVALID',
        `A code lives ${limits.codeLifeMinMs / 1000} seconds to ${limits.codeLifeMaxMs / 3_600_000} hours.`,
      );
    }
    await this.expireDue();
    for (;;) {
      const { slot, secret } = request.kind === 'qr' ? makeQrSecret(crypto) : makeTypedSecret(crypto);
      const now = clock.now();
      const id = makeUlid(now, crypto.randomBytes(10));
      const pairing = {
        id,
        revision: 0,
        state: 'waiting' as const,
        codeKind: kind,
        slot,
        createdAt: now,
        autoApprovedBy: autoApprove ? (actorName(request.by) ?? '') : undefined,
        expiresAt: new Date(now.getTime() + lifeMs),
        guessesLeft: limits.guessesPerCode,
        guessesTaken: 0,
        sealedSecret: await sealer.seal(id, 'code', secret),
      };
      const stored = await transactBy(this.#options, request.by, async (tx, by) => {
        if ((await tx.counts()).waitingCodes >= limits.liveCodes) throw tooManyCodes(limits.liveCodes);
        if (await tx.waitingPairing(slot)) return false;
        await tx.insertPairing(pairing);
        await tx.appendAudit({
          at: now,
          action: 'code.minted',
          subject: id,
          detail: {
            kind,
            ...(autoApprove && { autoApprove }),
            ...(by && { by }),
            ...(typeof request.by === 'object' && { certificate: request.by.serial }),
            expires_at: pairing.expiresAt.getTime(),
            guesses: pairing.guessesLeft,
          },
        });
        tx.emit({ type: 'pairing_changed', pairing });
        return true;
      });
      if (!stored) continue;
      const code =
        request.kind === 'qr'
          ? formatQrUri(request.address, slot, secret, hexToBytes(rootFingerprint()))
          : formatTypedCode(slot, secret);
      return { pairing, code, expiresAt: pairing.expiresAt };
    }
  }

  /**
   * Lets the device in. Its certificate is made when it fetches it, so nothing is decided while no certificate can be
   * signed: the request waits on.
   * @throws SIGNER_UNAVAILABLE and what else the place of the CA's keys says. PAIRING_NOT_FOUND, PAIRING_STATE_CONFLICT (also when it is not what was seen), PAIRING_EXPIRED, DEVICE_REVOKED, DEVICE_QUARANTINED; IDENTITY_KEY_CHANGED when the
   *   device id is known with another identity key and `replaceIdentityKey` is not set.
   */
  async approve(id: string, choice: ApprovalChoice = {}): Promise<Pairing> {
    await this.#options.checkKey();
    const now = this.#options.clock.now();
    return transactBy(this.#options, choice.by, async (tx, by) =>
      this.#approveIn(tx, await existing(tx, id), choice, now, { by }),
    );
  }

  /**
   * Carries out, as part of a change, what was decided when the code was made.
   * @returns false when the operator is to be asked all the same.
   */
  async approveByCode(tx: RegistryTransaction, pairing: Pairing, now: Date): Promise<boolean> {
    const { autoApprovedBy: by } = pairing;
    if (by === undefined || pairing.state !== 'pending_approval') return false;
    if (isUlid(by) && !(await stillDecides(tx, by, pairing.id))) return false;
    const { request } = pairing;
    const known = await tx.device(request.deviceId);
    if (known && !(isOrdinary(known) && sameBytes(known.identityKey, request.identityKey))) return false;
    await this.#approveIn(tx, pairing, {}, now, { automatic: true, by });
    return true;
  }

  async #approveIn(
    tx: RegistryTransaction,
    pairing: Pairing,
    choice: ApprovalChoice,
    now: Date,
    made: { readonly automatic?: true; readonly by?: string | undefined },
  ): Promise<Pairing> {
    const { by, ...detail } = made;
    const expiresAt = new Date(now.getTime() + this.#options.limits.collectLifeMs);
    const next = step(pairing, { type: 'approve', expiresAt }, now);
    const { request } = next as Extract<Pairing, { state: 'approved' }>;
    const known = await tx.device(request.deviceId);
    if (choice.seen && !(choice.seen.words === request.words && choice.seen.role === known?.role)) {
      throw notAsSeen(pairing.id);
    }
    if (known) mustBeLetIn(known);
    const keyChanged = known !== undefined && !sameBytes(known.identityKey, request.identityKey);
    if (keyChanged && !choice.replaceIdentityKey) throw identityKeyChanged(known.id);
    // What the operator gave was given to the holder of that key.
    const kept = keyChanged ? undefined : known;
    const device: Device = {
      id: request.deviceId,
      identityKey: request.identityKey,
      name: choice.name ? parseDeviceName(choice.name) : (kept?.name ?? request.name),
      kind: request.kind,
      platform: request.platform,
      role: choice.operator ? 'operator' : (kept?.role ?? 'device'),
      state: kept?.state ?? 'approved',
      createdAt: known?.createdAt ?? now,
      lastSeenAt: known?.lastSeenAt,
      capabilities: known?.capabilities ?? [],
      hostNames: choice.hostNames ? this.#options.hostNames.parse(choice.hostNames) : (kept?.hostNames ?? []),
      revocationReason: undefined,
      cloneSeenAt: kept?.cloneSeenAt,
      // Paired again, it has what it asked for.
      cloneReportedAt: undefined,
      certificateRevokedAt: undefined,
      recoveryAskedAt: undefined,
      recoveryReleasedAt: undefined,
    };
    if (known) await tx.updateDevice(device);
    else await tx.insertDevice(device);
    const stored = await tx.replacePairing(pairing, next);
    await tx.appendAudit({
      at: now,
      action: 'request.approved',
      subject: pairing.id,
      detail: {
        device: device.id,
        name: device.name,
        identity_key: bytesToHex(device.identityKey),
        expires_at: expiresAt.getTime(),
        ...detail,
        ...(by && { by }),
      },
    });
    await recordRole(tx, device, known?.role ?? 'device', now, by);
    await recordHostNames(tx, device, known?.hostNames ?? [], now, by);
    if (keyChanged) await recordKeyReplaced(tx, device.id, now);
    tx.emit({ type: 'pairing_changed', pairing: stored });
    return stored;
  }

  /** Keeps the device out for good, or withdraws a code that waits. @throws as `approve`. */
  async reject(id: string, reason: string, actor?: Actor): Promise<Pairing> {
    const now = this.#options.clock.now();
    return transactBy(this.#options, actor, async (tx, by) => {
      const pairing = await existing(tx, id);
      if (pairing.state === 'waiting')
        return end(tx, pairing, { type: 'withdraw', reason }, 'code.withdrawn', now, by);
      return end(tx, pairing, { type: 'reject', reason }, 'request.rejected', now, by);
    });
  }

  /** Ends a code that waits, as part of a change. @throws PAIRING_STATE_CONFLICT, PAIRING_EXPIRED */
  async withdrawIn(tx: RegistryTransaction, pairing: Pairing, reason: string, now: Date): Promise<Pairing> {
    return end(tx, pairing, { type: 'withdraw', reason }, 'code.withdrawn', now);
  }

  /**
   * For a registry that was put back to an earlier time: a code may have been used or withdrawn since, and its guesses
   * taken; a request decided. So each ends, and its device pairs again.
   * @returns how many.
   */
  async endForRestore(): Promise<number> {
    const { registry, clock } = this.#options;
    const now = clock.now();
    await this.expireDue();
    let count = 0;
    for (;;) {
      const open = await registry.pairings({ states: undecidedStates, limit: 100 });
      if (open.length === 0) return count;
      for (const pairing of open) {
        const action = pairing.state === 'waiting' ? 'code.withdrawn' : 'request.rejected';
        await registry.transact((tx) =>
          end(tx, pairing, { type: 'restore', reason: restoreReason }, action, now),
        );
        count += 1;
      }
    }
  }

  /** Writes down what has expired by itself. @returns how many. */
  async expireDue(): Promise<number> {
    const { registry, clock } = this.#options;
    let count = 0;
    for (;;) {
      const due = await registry.duePairings(clock.now(), 100);
      if (due.length === 0) return count;
      for (const { id } of due) count += (await this.#expire(id)) ? 1 : 0;
    }
  }

  async #expire(id: string): Promise<boolean> {
    const { registry, clock } = this.#options;
    const now = clock.now();
    return registry.transact(async (tx) => {
      const pairing = await existing(tx, id);
      if (!isDue(pairing, now)) return false;
      await moveByItself(
        tx,
        pairing,
        { type: 'expire' },
        now,
        pairing.state === 'waiting' ? 'code.expired' : 'request.expired',
      );
      return true;
    });
  }

  /** Ends a code whose guesses are used up, once no handshake is left that could still confirm. */
  async exhaust(id: string): Promise<void> {
    const { registry, clock } = this.#options;
    const now = clock.now();
    await registry.transact(async (tx) => {
      const pairing = await existing(tx, id);
      if (pairing.state !== 'waiting' || pairing.guessesLeft > 0 || isDue(pairing, now)) return;
      await moveByItself(tx, pairing, { type: 'exhaust' }, now, 'code.exhausted');
    });
  }

  /** Codes and requests that have not ended. Newest first. */
  async open(limit: number): Promise<Pairing[]> {
    return this.#options.registry.pairings({ states: openStates, limit });
  }
}

async function end(
  tx: RegistryTransaction,
  pairing: Pairing,
  event: { readonly type: 'reject' | 'withdraw' | 'restore'; readonly reason: string },
  action: AuditAction,
  at: Date,
  by?: string,
): Promise<Pairing> {
  const stored = await tx.replacePairing(pairing, step(pairing, event, at));
  await tx.appendAudit({
    at,
    action,
    subject: pairing.id,
    detail: { reason: event.reason, ...(by && { by }) },
  });
  tx.emit({ type: 'pairing_changed', pairing: stored });
  return stored;
}

async function moveByItself(
  tx: RegistryTransaction,
  pairing: Pairing,
  event: { type: 'expire' } | { type: 'exhaust' },
  now: Date,
  action: AuditAction,
): Promise<void> {
  const stored = await tx.replacePairing(pairing, step(pairing, event, now));
  await tx.appendAudit({ at: now, action, subject: pairing.id, detail: { guesses: pairing.guessesTaken } });
  tx.emit({ type: 'pairing_changed', pairing: stored });
}

/** Writes down and tells that a device's role is another one than before, if it is. */
export async function recordRole(
  tx: RegistryTransaction,
  { id, role }: Device,
  before: DeviceRole,
  at: Date,
  by: string | undefined,
): Promise<void> {
  if (role === before) return;
  await tx.appendAudit({
    at,
    action: 'device.role_changed',
    subject: id,
    detail: { role, ...(by && { by }) },
  });
  tx.emit({ type: 'device_role_changed', deviceId: id, role });
}

/**
 * Whether what a device decided as an operator, when it made this code, still counts. That was decided by the holder of one
 * key with one certificate, under one grant of the role: what ends any of these ends it for good.
 */
async function stillDecides(tx: RegistryTransaction, deviceId: DeviceId, pairingId: Ulid): Promise<boolean> {
  const device = await tx.device(deviceId);
  if (device?.role !== 'operator' || device.cloneSeenAt || device.certificateRevokedAt || isShutOut(device))
    return false;
  const [minted] = await tx.audit({ subject: pairingId, action: 'code.minted', limit: 1 });
  const { certificate: serial } = JSON.parse(minted?.detailJson ?? '{}') as { certificate?: string };
  const certificate = serial === undefined ? undefined : await tx.certificate({ serial });
  if (!minted || !certificate || certificate.state === 'revoked') return false;
  for (const action of ['device.identity_key_replaced', 'device.role_changed'] as const) {
    const [last] = await tx.audit({ subject: deviceId, action, limit: 1 });
    if (last && last.seq > minted.seq) return false;
  }
  return true;
}

const isShutOut = ({ state }: Device): boolean => state === 'revoked' || state === 'quarantined';

/** Neither an operator nor anything that has to be looked at. */
function isOrdinary(device: Device): boolean {
  const { role, cloneSeenAt, certificateRevokedAt, recoveryAskedAt } = device;
  const isWatched = cloneSeenAt || certificateRevokedAt || recoveryAskedAt;
  return role === 'device' && !isWatched && !isShutOut(device);
}

/** After the identity key changed hands, nothing that the old one obtained may still work. */
export async function recordKeyReplaced(
  tx: RegistryTransaction,
  deviceId: DeviceId,
  now: Date,
): Promise<void> {
  await tx.appendAudit({ at: now, action: 'device.identity_key_replaced', subject: deviceId, detail: {} });
  for (const serial of await revokeAllCertificates(tx, deviceId, 'identity key replaced', now))
    tx.emit({ type: 'certificate_revoked', serial, deviceId });
}

/**
 * Replaced ones, too, while they have not ended: programs that go by the revocation list would still take them.
 * @returns their serials.
 */
export async function revokeAllCertificates(
  tx: RegistryTransaction,
  deviceId: DeviceId,
  reason: string,
  now: Date,
): Promise<string[]> {
  const serials: string[] = [];
  const endedAfter = new Date(endWithDeviceAfterMs(now.getTime()));
  for (;;) {
    const page = await tx.revocableCertificates({ deviceId, now: endedAfter, limit: revokedAtOnce });
    for (const { serial, state } of page) {
      await tx.moveCertificate(serial, state, 'revoked');
      await tx.insertRevocation({ at: now, deviceId, serial, reason });
      serials.push(serial);
    }
    if (page.length < revokedAtOnce) return serials;
  }
}

function notAsSeen(id: string): IdentityError {
  return new IdentityError(
    'PAIRING_STATE_CONFLICT',
    `Request ${id} is not what you were shown. Nothing was decided: look at it again, and compare the words.`,
  );
}

/** @throws PAIRING_NOT_FOUND */
async function existing(tx: RegistryTransaction, id: string): Promise<Pairing> {
  const pairing = await tx.pairing(id);
  if (!pairing) {
    throw new IdentityError('PAIRING_NOT_FOUND', `There is no pairing ${id}. See: palyra pairing list`);
  }
  return pairing;
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, at) => byte === b[at]);
}

function tooManyCodes(limit: number): IdentityError {
  return new IdentityError(
    'TOO_MANY_CODES',
    `${limit} codes wait already. Use one of them, or withdraw one: palyra pairing reject ID (see palyra pairing list)`,
  );
}

function identityKeyChanged(id: string): IdentityError {
  return new IdentityError(
    'IDENTITY_KEY_CHANGED',
    `Device ${id} is known with ANOTHER identity key. If its owner reinstalled it, approve again with --replace-key; if not, reject it.`,
  );
}
