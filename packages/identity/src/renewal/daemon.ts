// The daemon's side of renewal and recovery. The mirror of device.ts.
//
// A new certificate starts as `issued` beside the one in use. The first accepted connection makes it `active`, and only
// then supersedes the other. So a lost answer or a crash on either side does not lock a device out.

import { checkP256Spki } from '../certificate/tls-key.ts';
import type { Clock } from '../clock.ts';
import type { PairingCrypto } from '../crypto/port.ts';
import { type DeviceId, parseDeviceId } from '../device-id.ts';
import type { EndpointLists } from '../endpoint-lists.ts';
import { IdentityError } from '../errors.ts';
import { changeCertificate, changeDevice } from '../fleet/change.ts';
import type { Device } from '../fleet/device.ts';
import type { DeviceCertificates, Issue } from '../fleet/issuing.ts';
import type { Recovery } from '../fleet/recovery.ts';
import type { PairingLimits } from '../limits.ts';
import type { PairingChannel } from '../pairing/sessions.ts';
import type { Registry, RegistryTransaction } from '../registry/port.ts';
import { judgeStanding, mustBeLetIn, standingMessages } from '../registry/standing.ts';
import { Challenges } from './challenges.ts';
import { burst, mustKeepPace, unpaced } from './pace.ts';
import type { RenewalPlan } from './plan.ts';
import { recoveryInput, renewalInput } from './proof.ts';

/** A new certificate, as the device is handed it. */
export interface RenewalReply {
  /** Leaf, then issuing CA; DER. */
  readonly certificateChain: readonly Uint8Array[];
  readonly trustBundle: readonly Uint8Array[];
  /** When the device is asked to renew it, ms after its arrival; 0 or absent: the device decides. */
  readonly renewAfterMs?: number;
  /** Announced endpoints of the daemon; set by the server of the call. */
  readonly endpoints?: EndpointLists | undefined;
}

/** A new TLS key, with proofs that the device has it and the identity key. */
export interface KeyProof {
  /** SPKI DER. */
  readonly tlsKey: Uint8Array;
  /** Signature by the new TLS key, P1363. */
  readonly tlsKeyProof: Uint8Array;
  /** Signature by the identity key. */
  readonly identitySignature: Uint8Array;
}

export interface RenewalOptions {
  readonly registry: Registry;
  readonly crypto: PairingCrypto;
  readonly clock: Clock;
  readonly limits: PairingLimits;
  readonly certificates: DeviceCertificates;
  readonly plan: RenewalPlan;
  readonly recovery: Recovery;
}

type Origin = Parameters<DeviceCertificates['issue']>[2];

/** Finally decides about a new certificate, in its change. @returns the reason of a refusal; its writes are kept. */
type Permit = (tx: RegistryTransaction, device: Device, now: Date) => Promise<IdentityError | undefined>;

interface Granted {
  /** Undefined if a certificate was made. */
  readonly refusal?: IdentityError;
  /** Of the newest earlier certificate. */
  readonly previousRenewAt?: Date | undefined;
}

export class RenewalDesk {
  readonly #options: RenewalOptions;
  readonly #challenges: Challenges;
  /** An identity key without a device. */
  readonly #nobody: Promise<Uint8Array>;

  constructor(options: RenewalOptions) {
    this.#options = options;
    this.#challenges = new Challenges(options);
    this.#nobody = makePublicKey(options.crypto);
  }

  /**
   * Renews for a device with a valid certificate.
   * @throws MESSAGE_INVALID, PROOF_WRONG, KEY_IN_USE, TOO_MANY_REQUESTS, DEVICE_REVOKED, DEVICE_QUARANTINED
   */
  async renew(caller: { deviceId: DeviceId; serial: string }, proof: KeyProof): Promise<RenewalReply> {
    const device = await this.#options.registry.device(caller.deviceId);
    if (!device) throw unknownDevice();
    mustBeLetIn(device);
    checkP256Spki(proof.tlsKey);
    if (!(await this.#holds(device.identityKey, proof, renewalInput(device.id, caller.serial, proof.tlsKey))))
      throw proofWrong();
    const origin = { type: 'renewal', previous: caller.serial } as const;
    return this.#issue(device, proof.tlsKey, origin, async (tx, _device, now) => {
      // The certificate may have been revoked since the check of the call.
      const verdict = judgeStanding(await tx.standingBySerial(caller.serial), now.getTime());
      return verdict.ok ? undefined : new IdentityError(verdict.code, standingMessages[verdict.code]);
    });
  }

  /** 32 bytes to sign, valid once, on this channel. @throws TOO_MANY_SESSIONS */
  challenge(channel: PairingChannel): Uint8Array {
    return this.#challenges.make(channel.channelBinding);
  }

  /**
   * Recovers for a device without a valid certificate, by its identity key alone.
   * @throws SESSION_NOT_FOUND, DEVICE_ID_INVALID, DEVICE_NOT_FOUND (also for a wrong proof, so that ids cannot be
   *   probed), DEVICE_REVOKED, DEVICE_QUARANTINED, RECOVERY_NEEDS_APPROVAL,
   *   MESSAGE_INVALID, KEY_IN_USE, TOO_MANY_REQUESTS
   */
  async recover(
    channel: PairingChannel,
    request: KeyProof & { challenge: Uint8Array; deviceId: string },
  ): Promise<RenewalReply> {
    const { registry, clock, recovery } = this.#options;
    this.#challenges.take(request.challenge, channel.channelBinding);
    // The message itself is checked before its sender.
    const deviceId = parseDeviceId(request.deviceId);
    checkP256Spki(request.tlsKey);
    const signed = recoveryInput(channel.channelBinding, request.challenge, deviceId, request.tlsKey);
    const device = await registry.device(deviceId);
    // An unknown id costs the same verification, under a key that nobody has.
    const { identityKey } = device ?? { identityKey: await this.#nobody };
    const isProven = await this.#holds(identityKey, request, signed);
    if (!device || !isProven) throw unknownDevice();
    mustBeLetIn(device);
    const { source } = channel;
    const doubt = await recovery.doubtOf(device);
    const permit: Permit = (tx, present, now) => recovery.refusal(tx, present, doubt, source, now);
    // A device that has to wait gets no signature.
    if (doubt !== undefined || device.certificateRevokedAt) {
      const at = clock.now();
      const refusal = await registry.transact(async (tx) =>
        permit(tx, await this.#unchanged(tx, device), at),
      );
      if (refusal) throw refusal;
    }
    return this.#issue(device, request.tlsKey, { type: 'recovery', source }, permit);
  }

  async #holds(identityKey: Uint8Array, proof: KeyProof, signed: Uint8Array): Promise<boolean> {
    const { crypto } = this.#options;
    return (
      (await crypto.verifyEd25519(identityKey, signed, proof.identitySignature)) &&
      (await crypto.verifyP256(proof.tlsKey, signed, proof.tlsKeyProof))
    );
  }

  /** The present device. @throws DEVICE_NOT_FOUND if another key has taken over the id since this one was proven. */
  async #unchanged(tx: RegistryTransaction, proven: Device): Promise<Device> {
    const device = await tx.device(proven.id);
    if (!device || !this.#options.crypto.equal(device.identityKey, proven.identityKey)) throw unknownDevice();
    return device;
  }

  async #issue(proven: Device, tlsKey: Uint8Array, origin: Origin, permit: Permit): Promise<RenewalReply> {
    const { certificates, plan } = this.#options;
    const { granted, reply } = await certificates.issue(proven, tlsKey, origin, unknownDevice, (issue) =>
      this.#grant(issue, permit),
    );
    if (granted.refusal) throw granted.refusal;
    plan.remove(granted.previousRenewAt);
    return reply;
  }

  async #grant({ tx, device, certificate, now, add }: Issue, permit: Permit): Promise<Granted> {
    const { limits } = this.#options;
    const { id } = device;
    const pace = await tx.certificatePace({ deviceId: id, burst, unpaced });
    mustKeepPace(pace, limits.deviceCertificateLifeMs, now);
    const refusal = await permit(tx, device, now);
    if (refusal) return { refusal };
    const unused = await tx.unusedCertificates(id);
    await add();
    // The device after `permit`.
    if (certificate.recovered) await changeDevice(tx, await tx.device(id), { type: 'recover' }, { at: now });
    // Their answers were lost. Certificates that it never received must not keep a device out.
    for (const each of unused.slice(limits.unusedCertificates - 1))
      await changeCertificate(tx, each, { type: 'supersede', by: certificate.serial }, { at: now });
    return { previousRenewAt: pace.newest?.renewAt };
  }
}

async function makePublicKey(crypto: PairingCrypto): Promise<Uint8Array> {
  return (await crypto.generateIdentityKey()).publicKey;
}

function proofWrong(): IdentityError {
  return new IdentityError('PROOF_WRONG', 'The signatures for the new key are invalid.');
}

function unknownDevice(): IdentityError {
  return new IdentityError('DEVICE_NOT_FOUND', 'No device with this id and identity key is known here.');
}
