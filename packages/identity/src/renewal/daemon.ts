// The daemon's side of renewal and recovery. The mirror of device.ts.
//
// A new certificate starts as `issued` beside the one in use. The first accepted connection makes it `active` and only
// then supersedes the other, so a lost answer or a crash on either side locks nobody out.

import { bytesToHex } from '@noble/curves/utils.js';
import type { CertificateAuthority } from '../certificate/authority.ts';
import { checkP256Spki } from '../certificate/tls-key.ts';
import type { Clock } from '../clock.ts';
import type { CloneWatch } from '../cloning.ts';
import type { PairingCrypto } from '../crypto/port.ts';
import { type DeviceId, parseDeviceId, type Ulid } from '../device-id.ts';
import { IdentityError } from '../errors.ts';
import type { PairingLimits } from '../limits.ts';
import type { PairingChannel } from '../pairing/daemon.ts';
import { certificateFacts } from '../registry/audited-facts.ts';
import type { CertificateRecord, Device, Registry } from '../registry/port.ts';
import { mustBeLetIn } from '../registry/standing.ts';
import { readRestored } from '../restored.ts';
import { type RenewalPlan, renewAfterMs } from './plan.ts';
import { recoveryInput, renewalInput } from './proof.ts';

/** A new certificate, as the device is handed it. */
export interface RenewalReply {
  /** Leaf, then issuing CA; DER. */
  readonly certificateChain: readonly Uint8Array[];
  readonly trustBundle: readonly Uint8Array[];
  /** How long after its arrival the device is asked to renew it, ms; 0 or absent: as it likes. */
  readonly renewAfterMs?: number;
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
 * Certificates of one device that have not ended. A revocation of the device lists them all in one change, and lists keep
 * them. The newest ends last, so a device that waits always gets another before it has none.
 */
const notEnded = 1000;

/** About two years of certificates that live a day. */
const certificatesLookedAt = 1000;
const recoveryWindowMs = 30 * 86_400_000;
/** When a device that waits for the operator comes again. */
const approvalRetryMs = 60_000;

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
    return this.#issue(device, proof.tlsKey, 'certificate.renewed', { previous: caller.serial });
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
    // What shuts it out now, the change below finds.
    await this.#options.clones.sawRecovery(device, channel.source);
    const doubt = await this.#doubtOf(device);
    if (doubt !== undefined) await this.#mustBeReleased(device, doubt, channel.source);
    return this.#issue(device, request.tlsKey, 'certificate.recovered', { source: channel.source });
  }

  /** Why the operator is asked before this device recovers; undefined when it may by itself. */
  async #doubtOf(device: Device): Promise<string | undefined> {
    const { registry, clock, limits } = this.#options;
    const nowMs = clock.now().getTime();
    const certificates = await registry.certificatesOf(device.id, certificatesLookedAt);
    if (certificates.length === 0) return 'it never fetched its first certificate';
    const used = certificates.filter(({ state }) => state !== 'issued');
    // Two of one instant have no order between them.
    const newest = used.filter(({ createdAt }) => createdAt.getTime() === used[0]?.createdAt.getTime());
    if (newest.some(({ state }) => state === 'revoked')) return 'its certificate was revoked';
    const since = used[0]?.notAfter ?? device.lastSeenAt ?? device.createdAt;
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

  /** Writes down, once, that the device asks. @throws RECOVERY_NEEDS_APPROVAL unless the operator has allowed it. */
  async #mustBeReleased(proven: Device, reason: string, source: string): Promise<void> {
    const { registry, crypto, clock, limits } = this.#options;
    const deviceId = proven.id;
    const at = clock.now();
    const allowed = await registry.transact(async (tx) => {
      const device = await tx.device(deviceId);
      if (!device || !crypto.equal(device.identityKey, proven.identityKey)) throw unknownDevice();
      mustBeLetIn(device);
      const releasedMs = device.recoveryReleasedAt && at.getTime() - device.recoveryReleasedAt.getTime();
      if (releasedMs !== undefined && releasedMs >= 0 && releasedMs < limits.recoveryReleaseMs) return true;
      if (device.recoveryAskedAt) return false;
      const possibleCopy = device.cloneSeenAt !== undefined;
      await tx.updateDevice({ ...device, recoveryAskedAt: at, recoveryReleasedAt: undefined });
      await tx.appendAudit({
        at,
        action: 'recovery.asked',
        subject: deviceId,
        detail: { reason, source, ...(possibleCopy && { possible_copy: true }) },
      });
      tx.emit({ type: 'recovery_asked', deviceId, name: device.name, reason, possibleCopy, source, at });
      return false;
    });
    if (allowed) return;
    throw new IdentityError(
      'RECOVERY_NEEDS_APPROVAL',
      `The operator must let this device back in, because ${reason}. There: palyra devices release ${deviceId}`,
      { retryAfterMs: approvalRetryMs },
    );
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
  ): Promise<RenewalReply> {
    const { registry, crypto, clock, limits, authority, issuerId, trustBundle, plan } = this.#options;
    const deviceId = proven.id;
    // Together: a new issuing CA may come while this one signs.
    const [ca, caId] = [authority(), issuerId()];
    const issued = await ca.issueDevice({ deviceId, tlsKey, lifeMs: limits.deviceCertificateLifeMs });
    const now = clock.now();
    // Before it is stored: what comes at the same time chooses another.
    const renewAt = plan.add(now, issued.notAfter);
    const store = registry.transact(async (tx) => {
      const device = await tx.device(deviceId);
      if (device) mustBeLetIn(device);
      // Another key may have taken the id over since this one was proven; it ends what the old one obtains.
      if (!device || !crypto.equal(device.identityKey, proven.identityKey)) throw unknownDevice();
      const recent = await tx.certificatesOf(deviceId, Math.max(limits.unusedCertificates, burst));
      const unused = recent
        .slice(0, limits.unusedCertificates)
        .filter((each) => each.state === 'issued' && each.notAfter > now);
      if (unused.length >= limits.unusedCertificates) {
        throw new IdentityError(
          'TOO_MANY_REQUESTS',
          `This device has ${unused.length} certificates that it never used. It should use one of them, or wait until they expire.`,
          { retryAfterMs: unused.at(-1)!.notAfter.getTime() - now.getTime() },
        );
      }
      const ageMs = now.getTime() - (recent[burst - 1]?.createdAt.getTime() ?? Number.NEGATIVE_INFINITY);
      // One from the future says that the clock was set back, and nothing else.
      if (ageMs >= 0 && ageMs < burstWindowMs) {
        throw new IdentityError(
          'TOO_MANY_REQUESTS',
          `This device was given ${burst} certificates in ${burstWindowMs / 60_000} minutes.`,
          { retryAfterMs: burstWindowMs - ageMs },
        );
      }
      const oldestEnd = await tx.endOfOlderCertificate(deviceId, notEnded - 1);
      if (oldestEnd && oldestEnd > now) {
        throw new IdentityError(
          'TOO_MANY_REQUESTS',
          `This device has ${notEnded} certificates that have not ended. It should use one of them.`,
          { retryAfterMs: oldestEnd.getTime() - now.getTime() },
        );
      }
      const certificate: CertificateRecord = {
        ...issued,
        subject: { kind: 'device', id: deviceId },
        state: 'issued',
        issuerId: caId,
        createdAt: now,
        recovered: action === 'certificate.recovered',
        renewAt,
      };
      await tx.insertCertificate(certificate);
      if (device.recoveryReleasedAt && action === 'certificate.recovered') {
        await tx.updateDevice({ ...device, recoveryReleasedAt: undefined });
      }
      await tx.appendAudit({
        at: now,
        action,
        subject: issued.serial,
        detail: { ...certificateFacts(certificate), ...detail },
      });
      return recent[0];
    });
    const previous = await store.catch((error) => {
      plan.remove(renewAt);
      throw error;
    });
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
