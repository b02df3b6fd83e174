// The device's side of renewal and recovery. The mirror of daemon.ts. Both make a new TLS key and replace the
// enrollment in one write. A crash leaves the old certificate or the new one, and both work until the new one is used.

import { bytesToHex } from '@noble/curves/utils.js';
import { checkIssuedChain } from '../certificate/issued-chain.ts';
import { readOwnCertificate } from '../certificate/own-certificate.ts';
import { RENEWAL_SHARE } from '../certificate/renewal-share.ts';
import type { Clock } from '../clock.ts';
import type { DeviceTlsKey } from '../crypto/port.ts';
import { storeToldEndpoints } from '../device/endpoints.ts';
import { type PairedEnrollment, storeEnrollment } from '../device/enrollment.ts';
import type { DeviceIdentity } from '../device/identity.ts';
import { hasCode } from '../errors.ts';
import { clockToleranceMs, MIN_LIFE_MS } from '../limits.ts';
import type { SecretStore } from '../secret-store/port.ts';
import type { KeyProof, RenewalReply } from './daemon.ts';
import { EARLIEST_RENEWAL, LATEST_RENEWAL } from './plan.ts';
import { recoveryInput, renewalInput } from './proof.ts';

export interface RenewingDevice {
  readonly identity: DeviceIdentity;
  readonly secrets: SecretStore;
  readonly clock: Clock;
}

/** The node listener's call. */
export type RenewCall = (proof: KeyProof) => Promise<RenewalReply>;

/** The pairing listener's two calls, over one TLS channel. */
export interface RecoveryPeer {
  readonly channelBinding: Uint8Array;
  challenge(): Promise<Uint8Array>;
  recover(request: KeyProof & { challenge: Uint8Array; deviceId: string }): Promise<RenewalReply>;
}

/**
 * Renews while the present certificate is valid.
 * @throws errors of the daemon and the secret store, CERTIFICATE_INVALID for an unexpected certificate; then the
 *   enrollment is unchanged.
 */
export async function renewCertificate(
  device: RenewingDevice,
  enrollment: PairedEnrollment,
  renew: RenewCall,
): Promise<PairedEnrollment> {
  const tlsKey = await device.identity.crypto.generateTlsKey();
  const serial = serialOf(enrollment);
  const signed = renewalInput(device.identity.id, serial, tlsKey.publicKey);
  const proof = await proofOf(device, tlsKey, signed);
  return adopt(device, enrollment, tlsKey, await withRoom(device.secrets, () => renew(proof)));
}

/** Recovers a device whose certificate has expired or is unknown to the daemon. @throws as `renewCertificate`. */
export async function recoverCertificate(
  device: RenewingDevice,
  enrollment: PairedEnrollment,
  peer: RecoveryPeer,
): Promise<PairedEnrollment> {
  const tlsKey = await device.identity.crypto.generateTlsKey();
  const { id } = device.identity;
  const reply = await withRoom(device.secrets, async () => {
    const challenge = await peer.challenge();
    const signed = recoveryInput(peer.channelBinding, challenge, id, tlsKey.publicKey);
    return peer.recover({ ...(await proofOf(device, tlsKey, signed)), challenge, deviceId: id });
  });
  return adopt(device, enrollment, tlsKey, reply);
}

const roomName = 'renewal/room';
/** More than the size of an enrollment with its endpoints. */
const roomBytes = 32 * 1024;

/**
 * Reserves space for the answer before the call, so that a device with a full disk does not request certificates that it
 * cannot store.
 * @throws STORE_FULL and other errors of the secret store, before the call.
 */
async function withRoom<T>(secrets: SecretStore, ask: () => Promise<T>): Promise<T> {
  await secrets.write(roomName, new Uint8Array(roomBytes));
  try {
    return await ask();
  } finally {
    await secrets.delete(roomName).catch((error) => {
      // Another process of this device has already removed it.
      if (!hasCode(error, 'SECRET_NOT_FOUND')) throw error;
    });
  }
}

/**
 * The renewal time by this device's clock: the time that the daemon asked for, or else about 2/3 of the certificate's
 * life, with the last tenth of that at random, so that devices paired together do not renew together. Ignores a
 * requested time that is too early to renew, or too late to retry.
 * @param random in [0, 1), the same for one certificate.
 */
export function renewalTime(enrollment: PairedEnrollment, random: number): Date {
  const { receivedAt, renewAfterMs = 0 } = enrollment;
  const isSane = (lifeMs: number) =>
    renewAfterMs >= lifeMs * EARLIEST_RENEWAL && renewAfterMs <= lifeMs * LATEST_RENEWAL;
  const lifeMs = certificateLifeMs(enrollment);
  const isFollowed = isSane(lifeMs) || isSane(issuedLifeMs(enrollment));
  return new Date(receivedAt + (isFollowed ? renewAfterMs : lifeMs * RENEWAL_SHARE * (0.9 + 0.1 * random)));
}

/**
 * Smallest plausible remaining life of a late certificate, as a part of its life. Less means that the clock is ahead.
 */
const leastLeft = 1 / 4;

/**
 * The life of the certificate from its arrival, ms, by its own dates. This device's clock counts only if it shows that
 * the certificate arrived late, as the first one of a device may.
 */
export function certificateLifeMs(enrollment: PairedEnrollment): number {
  const { notAfter } = leafOf(enrollment);
  const lifeMs = issuedLifeMs(enrollment);
  const leftMs = notAfter.getTime() - enrollment.receivedAt;
  return leftMs > 0 && leftMs < lifeMs ? Math.max(leftMs, lifeMs * leastLeft) : lifeMs;
}

function issuedLifeMs(enrollment: PairedEnrollment): number {
  const { notBefore, notAfter } = leafOf(enrollment);
  // It is backdated by less if the daemon's clock was set back to just after the start of its authority.
  return Math.max(notAfter.getTime() - notBefore.getTime() - clockToleranceMs, MIN_LIFE_MS);
}

/** Of the present certificate: 32 lower-case hex digits. */
export const serialOf = (enrollment: PairedEnrollment): string => bytesToHex(leafOf(enrollment).serial);

const leafOf = ({ certificateChain }: PairedEnrollment) =>
  readOwnCertificate(certificateChain[0] ?? new Uint8Array());

async function proofOf(device: RenewingDevice, tlsKey: DeviceTlsKey, signed: Uint8Array): Promise<KeyProof> {
  return {
    tlsKey: tlsKey.publicKey,
    tlsKeyProof: await tlsKey.sign(signed),
    identitySignature: await device.identity.sign(signed),
  };
}

async function adopt(
  device: RenewingDevice,
  enrollment: PairedEnrollment,
  tlsKey: DeviceTlsKey,
  reply: RenewalReply,
): Promise<PairedEnrollment> {
  await checkIssuedChain(device.identity.crypto, reply.certificateChain, {
    deviceId: device.identity.id,
    trustDomain: enrollment.trustDomain,
    tlsKey,
    // The old bundle has verified the channel, so the answer may contain a new root.
    trustBundle: reply.trustBundle,
  });
  const renewed: PairedEnrollment = {
    ...enrollment,
    tlsKey: tlsKey.export(),
    certificateChain: reply.certificateChain,
    trustBundle: reply.trustBundle,
    receivedAt: device.clock.now().getTime(),
    renewAfterMs: reply.renewAfterMs ?? 0,
  };
  await storeEnrollment(device.secrets, renewed);
  return storeToldEndpoints(device.secrets, renewed, reply.endpoints);
}
