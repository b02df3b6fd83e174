// The daemon's side of renewal and recovery. The mirror of device.ts.
//
// A new certificate starts as `issued` beside the one in use. The first accepted connection makes it `active` and only
// then supersedes the other, so a lost answer or a crash on either side locks nobody out.

import { bytesToHex } from '@noble/curves/utils.js';
import { certificateFacts } from '../audit/audited-facts.ts';
import type { CertificateAuthority } from '../certificate/authority.ts';
import { checkP256Spki } from '../certificate/tls-key.ts';
import type { Clock } from '../clock.ts';
import type { PairingCrypto } from '../crypto/port.ts';
import { type DeviceId, parseDeviceId, type Ulid } from '../device-id.ts';
import type { EndpointLists } from '../endpoint-lists.ts';
import { IdentityError } from '../errors.ts';
import type { CertificateRecord } from '../fleet/certificate-state.ts';
import { type CloneWatch, usableSerial } from '../fleet/clones.ts';
import type { Device } from '../fleet/device.ts';
import { readRestored } from '../fleet/restored.ts';
import { supersede } from '../fleet/supersede.ts';
import type { HostNames } from '../host-names.ts';
import type { PairingLimits } from '../limits.ts';
import type { PairingChannel } from '../pairing/daemon.ts';
import type { Registry, RegistryTransaction } from '../registry/port.ts';
import { deviceQuarantined, judgeStanding, mustBeLetIn, standingMessages } from '../registry/standing.ts';
import { type RenewalPlan, renewAfterMs } from './plan.ts';
import { recoveryInput, renewalInput } from './proof.ts';

/** A new certificate, as the device is handed it. */
export interface RenewalReply {
  /** Leaf, then issuing CA; DER. */
  readonly certificateChain: readonly Uint8Array[];
  readonly trustBundle: readonly Uint8Array[];
  /** How long after its arrival the device is asked to renew it, ms; 0 or absent: as it likes. */
  readonly renewAfterMs?: number;
  /** Where devices reach the daemon; set by the server that carries the call. */
  readonly endpoints?: EndpointLists | undefined;
}

/** A new TLS key, and that the device holds it and its identity key. */
export interface KeyProof {
  /** SPKI DER. */
  readonly tlsKey: Uint8Array;
  /** By the new TLS key, P1363. */
  readonly tlsKeyProof: Uint8Array;
  /** By the identity key. */
  readonly identitySignature: Uint8Array;
}

export interface RenewalOptions {
  readonly hostNames: HostNames;
  readonly registry: Registry;
  readonly crypto: PairingCrypto;
  readonly clock: Clock;
  readonly limits: PairingLimits;
  readonly authority: () => CertificateAuthority;
  readonly trustBundle: () => readonly Uint8Array[];
  readonly issuerId: () => Ulid;
  readonly plan: RenewalPlan;
  readonly clones: Pick<CloneWatch, 'sawRecovery'>;
}

/** Certificates for one device in a window, used or not: each leaves rows that are never removed. */
const burst = 20;
const burstWindowMs = 10 * 60_000;
/**
 * Certificates of one device that have not ended and may come as fast as `burst` lets them. A revocation of the device lists
 * them all in one change, and lists keep them. Then they come at a pace at which no more than twice as many are there at a
 * time: nobody has to wait until one ends.
 */
const unpaced = 500;

/** About two years of certificates that live a day. */
const certificatesLookedAt = 1000;
const recoveryWindowMs = 30 * 86_400_000;
/** When a device that waits for the operator comes again. */
const approvalRetryMs = 60_000;

/** Has the last word on a new certificate, in the change that makes it. @returns why there is none; what it wrote stays. */
type Permit = (tx: RegistryTransaction, device: Device, now: Date) => Promise<IdentityError | undefined>;

interface Issued {
  /** The device has other names than the certificate; nothing was stored. */
  readonly changed?: Device;
  /** Undefined when a certificate was made. */
  readonly refusal?: IdentityError;
  /** The newest before. */
  readonly previous?: CertificateRecord | undefined;
}

interface Challenge {
  readonly channelBinding: Uint8Array;
  readonly expiresAtMs: number;
}

export class RenewalDesk {
  readonly #options: RenewalOptions;
  /** By challenge, hex; in order of making. */
  readonly #challenges = new Map<string, Challenge>();

  /** An identity key without a device. */
  readonly #nobody: Promise<Uint8Array>;

  constructor(options: RenewalOptions) {
    this.#options = options;
    this.#nobody = makePublicKey(options.crypto);
  }

  /**
   * For a device that calls with a certificate that holds.
   * @throws MESSAGE_INVALID, PROOF_WRONG, KEY_IN_USE, TOO_MANY_REQUESTS, DEVICE_REVOKED, DEVICE_QUARANTINED
   */
  async renew(caller: { deviceId: DeviceId; serial: string }, proof: KeyProof): Promise<RenewalReply> {
    const device = await this.#device(caller.deviceId);
    await this.#prove(device, proof, renewalInput(device.id, caller.serial, proof.tlsKey));
    const detail = { previous: caller.serial };
    return this.#issue(device, proof.tlsKey, 'certificate.renewed', detail, async (tx, _device, now) => {
      // It may have been ended since the call was let in.
      const verdict = judgeStanding(await tx.standingBySerial(caller.serial), now.getTime());
      return verdict.ok ? undefined : new IdentityError(verdict.code, standingMessages[verdict.code]);
    });
  }

  /** 32 bytes to sign, good once, on this channel. @throws TOO_MANY_SESSIONS */
  challenge(channel: PairingChannel): Uint8Array {
    const { crypto, clock, limits } = this.#options;
    const nowMs = clock.now().getTime();
    for (const [key, { expiresAtMs }] of this.#challenges) {
      if (expiresAtMs <= nowMs || expiresAtMs > nowMs + limits.sessionLifeMs) this.#challenges.delete(key);
    }
    if (this.#challenges.size >= limits.sessions) {
      throw new IdentityError('TOO_MANY_SESSIONS', 'Too many recoveries are under way.', {
        retryAfterMs: limits.sessionLifeMs,
      });
    }
    const challenge = crypto.randomBytes(32);
    this.#challenges.set(bytesToHex(challenge), {
      channelBinding: channel.channelBinding,
      expiresAtMs: nowMs + limits.sessionLifeMs,
    });
    return challenge;
  }

  /**
   * For a device without a certificate that holds, known by its identity key alone.
   * @throws SESSION_NOT_FOUND, DEVICE_ID_INVALID, DEVICE_NOT_FOUND (also for a wrong proof, so that ids cannot be
   *   probed), DEVICE_REVOKED, DEVICE_QUARANTINED, RECOVERY_NEEDS_APPROVAL,
   *   MESSAGE_INVALID, KEY_IN_USE, TOO_MANY_REQUESTS
   */
  async recover(
    channel: PairingChannel,
    request: KeyProof & { challenge: Uint8Array; deviceId: string },
  ): Promise<RenewalReply> {
    const { crypto, clock } = this.#options;
    const key = bytesToHex(request.challenge);
    const challenge = this.#challenges.get(key);
    const mine = challenge && crypto.equal(challenge.channelBinding, channel.channelBinding);
    if (!mine || clock.now().getTime() >= challenge.expiresAtMs) {
      throw new IdentityError(
        'SESSION_NOT_FOUND',
        'This recovery is unknown, over or already used. Start again.',
      );
    }
    this.#challenges.delete(key);
    // What is wrong with the message itself is found before anybody asks who sent it.
    const deviceId = parseDeviceId(request.deviceId);
    checkP256Spki(request.tlsKey);
    const signed = recoveryInput(channel.channelBinding, request.challenge, deviceId, request.tlsKey);
    const device = await this.#options.registry.device(deviceId);
    // An unknown id costs the same signature, under a key that nobody has.
    const { identityKey } = device ?? { identityKey: await this.#nobody };
    const isProven = await this.#holds(identityKey, request, signed);
    if (!device || !isProven) throw unknownDevice();
    mustBeLetIn(device);
    const { source } = channel;
    const doubt = await this.#doubtOf(device);
    const permit: Permit = (tx, present, now) => this.#mayRecover(tx, present, doubt, source, now);
    // Nothing is signed for who has to wait.
    if (doubt !== undefined || device.certificateRevokedAt) await this.#ask(device, permit);
    return this.#issue(device, request.tlsKey, 'certificate.recovered', { source }, permit);
  }

  /**
   * Why the operator is asked before this device recovers, besides a certificate that he ended; undefined when it may by
   * itself.
   */
  async #doubtOf(device: Device): Promise<string | undefined> {
    const { registry, clock, limits } = this.#options;
    const nowMs = clock.now().getTime();
    if (limits.recoveryOfflineMs === 0) return 'here every recovery is asked about';
    const certificates = await registry.certificatesOf(device.id, certificatesLookedAt);
    if (certificates.length === 0) return 'it never fetched its first certificate';
    const used = certificates.find(({ state }) => state !== 'issued');
    const since = used?.notAfter ?? device.lastSeenAt ?? device.createdAt;
    if ((await this.#absenceMs(since)) > limits.recoveryOfflineMs) {
      return `it was away since ${since.toISOString()}`;
    }
    const recent = certificates.filter(
      ({ recovered, createdAt }) => recovered && nowMs - createdAt.getTime() < recoveryWindowMs,
    );
    return recent.length < limits.recoveries ? undefined : `it recovered ${recent.length} times in 30 days`;
  }

  /** Without the time that the daemon itself forgot by a restore: the device may have been here all along. */
  async #absenceMs(since: Date): Promise<number> {
    const { registry, clock } = this.#options;
    const absenceMs = clock.now().getTime() - since.getTime();
    const restored = await readRestored(registry);
    if (!restored) return absenceMs;
    return absenceMs - Math.max(0, restored.atMs - Math.max(restored.madeAtMs, since.getTime()));
  }

  /** Asks before anything is signed. @throws why it may not recover. */
  async #ask(proven: Device, permit: Permit): Promise<void> {
    const { registry, clock } = this.#options;
    const at = clock.now();
    const refusal = await registry.transact(async (tx) => permit(tx, await this.#same(tx, proven), at));
    if (refusal) throw refusal;
  }

  /**
   * Whether the recovery is granted, as a part of the change that grants it. Writes down, once, that the device asks the
   * operator, and what looks like a copy.
   * @returns why not.
   */
  async #mayRecover(
    tx: RegistryTransaction,
    device: Device,
    doubt: string | undefined,
    source: string,
    at: Date,
  ): Promise<IdentityError | undefined> {
    const { limits, clones } = this.#options;
    const { id: deviceId, name, recoveryReleasedAt } = device;
    const reason = device.certificateRevokedAt ? 'its certificate was revoked' : doubt;
    if (reason === undefined) {
      return (await clones.sawRecovery(tx, device, source, at)) ? deviceQuarantined() : undefined;
    }
    const releasedMs = recoveryReleasedAt && at.getTime() - recoveryReleasedAt.getTime();
    if (releasedMs !== undefined && releasedMs >= 0 && releasedMs < limits.recoveryReleaseMs)
      return undefined;
    if (!device.recoveryAskedAt) {
      const possibleCopy =
        device.cloneSeenAt !== undefined || (await usableSerial(tx, device, at)) !== undefined;
      await tx.updateDevice({ ...device, recoveryAskedAt: at, recoveryReleasedAt: undefined });
      await tx.appendAudit({
        at,
        action: 'recovery.asked',
        subject: deviceId,
        detail: { reason, source, ...(possibleCopy && { possible_copy: true }) },
      });
      tx.emit({ type: 'recovery_asked', deviceId, name, reason, possibleCopy, source, at });
    }
    return new IdentityError(
      'RECOVERY_NEEDS_APPROVAL',
      `The operator must let this device back in, because ${reason}. There: palyra devices release ${deviceId}`,
      { retryAfterMs: approvalRetryMs },
    );
  }

  /** As it is now. @throws DEVICE_NOT_FOUND, DEVICE_REVOKED, DEVICE_QUARANTINED */
  async #same(tx: RegistryTransaction, proven: Device): Promise<Device> {
    const device = await tx.device(proven.id);
    if (device) mustBeLetIn(device);
    // Another key may have taken the id over since this one was proven; it ends what the old one obtains.
    if (!device || !this.#options.crypto.equal(device.identityKey, proven.identityKey)) throw unknownDevice();
    return device;
  }

  async #device(id: DeviceId): Promise<Device> {
    const device = await this.#options.registry.device(id);
    if (!device) throw unknownDevice();
    mustBeLetIn(device);
    return device;
  }

  async #holds(identityKey: Uint8Array, proof: KeyProof, signed: Uint8Array): Promise<boolean> {
    const { crypto } = this.#options;
    return (
      (await crypto.verifyEd25519(identityKey, signed, proof.identitySignature)) &&
      (await crypto.verifyP256(proof.tlsKey, signed, proof.tlsKeyProof))
    );
  }

  async #prove(device: Device, proof: KeyProof, signed: Uint8Array): Promise<void> {
    checkP256Spki(proof.tlsKey);
    if (!(await this.#holds(device.identityKey, proof, signed))) {
      throw new IdentityError(
        'PROOF_WRONG',
        'The signatures over the new key do not hold. Pair the device again: palyra pair ADDRESS',
      );
    }
  }

  async #issue(
    proven: Device,
    tlsKey: Uint8Array,
    action: 'certificate.renewed' | 'certificate.recovered',
    detail: Record<string, string>,
    permit: Permit,
  ): Promise<RenewalReply> {
    const { registry, clock, limits, authority, issuerId, trustBundle, plan, hostNames } = this.#options;
    const deviceId = proven.id;
    const dnsNames = hostNames.of(proven);
    // Together: a new issuing CA may come while this one signs.
    const [ca, caId] = [authority(), issuerId()];
    const lifeMs = limits.deviceCertificateLifeMs;
    const issued = await ca.issueDevice({ deviceId, tlsKey, dnsNames, lifeMs });
    const now = clock.now();
    // Before it is stored: what comes at the same time chooses another.
    const renewAt = plan.add(now, issued.notAfter);
    const store = registry.transact(async (tx): Promise<Issued> => {
      const device = await this.#same(tx, proven);
      // The operator took or gave a name meanwhile.
      if (hostNames.of(device).join() !== dnsNames.join()) return { changed: device };
      const recent = await tx.certificatesOf(deviceId, burst);
      const ageMs = (each: CertificateRecord | undefined) =>
        each ? now.getTime() - each.createdAt.getTime() : Number.POSITIVE_INFINITY;
      // One from the future says that the clock was set back, and nothing else.
      const isWithin = (each: CertificateRecord | undefined, ms: number) =>
        ageMs(each) >= 0 && ageMs(each) < ms;
      if (isWithin(recent[burst - 1], burstWindowMs)) {
        throw new IdentityError(
          'TOO_MANY_REQUESTS',
          `This device was given ${burst} certificates in ${burstWindowMs / 60_000} minutes.`,
          { retryAfterMs: burstWindowMs - ageMs(recent[burst - 1]) },
        );
      }
      const paceMs = Math.ceil(limits.deviceCertificateLifeMs / unpaced);
      const oldestEnd = await tx.endOfOlderCertificate(deviceId, unpaced - 1);
      if (oldestEnd && oldestEnd > now && isWithin(recent[0], paceMs)) {
        throw new IdentityError(
          'TOO_MANY_REQUESTS',
          `This device has ${unpaced} certificates that have not ended. It should use one of them.`,
          { retryAfterMs: paceMs - ageMs(recent[0]) },
        );
      }
      const refusal = await permit(tx, device, now);
      if (refusal) return { refusal };
      const certificate: CertificateRecord = {
        ...issued,
        subject: { kind: 'device', id: deviceId },
        state: 'issued',
        issuerId: caId,
        createdAt: now,
        recovered: action === 'certificate.recovered',
        renewAt,
      };
      const unused = (await tx.livingCertificates(deviceId)).filter(({ state }) => state === 'issued');
      await tx.insertCertificate(certificate);
      if (action === 'certificate.recovered' && (device.recoveryReleasedAt || device.certificateRevokedAt)) {
        const present = await this.#same(tx, proven);
        await tx.updateDevice({ ...present, certificateRevokedAt: undefined, recoveryReleasedAt: undefined });
      }
      await tx.appendAudit({
        at: now,
        action,
        subject: issued.serial,
        detail: { ...certificateFacts(certificate), ...detail },
      });
      // Their answers were lost: whoever proves the identity key must not be kept out by what it never got.
      for (const each of unused.slice(limits.unusedCertificates - 1))
        await supersede(tx, each, issued.serial, now);
      return { previous: recent[0] };
    });
    const { previous, refusal, changed } = await store.catch((error) => {
      plan.remove(renewAt);
      throw error;
    });
    if (changed) {
      plan.remove(renewAt);
      return this.#issue(changed, tlsKey, action, detail, permit);
    }
    if (refusal) {
      plan.remove(renewAt);
      throw refusal;
    }
    plan.remove(previous?.renewAt);
    return {
      certificateChain: [issued.der, ca.issuingCertificate],
      trustBundle: trustBundle(),
      renewAfterMs: renewAfterMs(renewAt?.getTime(), now.getTime()),
    };
  }
}

async function makePublicKey(crypto: PairingCrypto): Promise<Uint8Array> {
  return (await crypto.generateIdentityKey()).publicKey;
}

function unknownDevice(): IdentityError {
  return new IdentityError(
    'DEVICE_NOT_FOUND',
    'No device with this id and identity key is known here. Pair it: palyra pair ADDRESS',
  );
}
