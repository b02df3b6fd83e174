// The device's side of renewal and recovery. The mirror of daemon.ts. Each makes a new TLS key here and replaces the
// enrollment in one write: a crash leaves the old certificate or the new one, and both work until the new one is used.

import { MIN_LIFE_MS } from '../certificate/issue.ts';
import { checkIssuedChain } from '../certificate/issued-chain.ts';
import { readPeerCertificate } from '../certificate/peer-certificate.ts';
import { RENEWAL_SHARE } from '../certificate/renewal-share.ts';
import { TlsKey } from '../certificate/tls-key.ts';
import type { Clock } from '../clock.ts';
import { storeToldEndpoints } from '../device/endpoints.ts';
import { type PairedEnrollment, storeEnrollment } from '../device/enrollment.ts';
import type { DeviceIdentity } from '../device/identity.ts';
import { hasCode } from '../errors.ts';
import { clockToleranceMs } from '../limits.ts';
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
 * A new certificate while the present one holds.
 * @throws what the daemon answers, CERTIFICATE_INVALID for a certificate that is not what was asked for, and what the
 *   secret store says; then the enrollment is as it was.
 */
export async function renewCertificate(
  device: RenewingDevice,
  enrollment: PairedEnrollment,
  renew: RenewCall,
): Promise<PairedEnrollment> {
  const tlsKey = TlsKey.generate();
  const { serial } = readPeerCertificate(enrollment.certificateChain[0] ?? new Uint8Array());
  const signed = renewalInput(device.identity.id, serial, tlsKey.publicKey);
  const proof = await proofOf(device, tlsKey, signed);
  return adopt(device, enrollment, tlsKey, await withRoom(device.secrets, () => renew(proof)));
}

/** A new certificate for a device whose old one has expired or is not known any more. @throws as `renewCertificate`. */
export async function recoverCertificate(
  device: RenewingDevice,
  enrollment: PairedEnrollment,
  peer: RecoveryPeer,
): Promise<PairedEnrollment> {
  const tlsKey = TlsKey.generate();
  const { id } = device.identity;
  const reply = await withRoom(device.secrets, async () => {
    const challenge = await peer.challenge();
    const signed = recoveryInput(peer.channelBinding, challenge, id, tlsKey.publicKey);
    return peer.recover({ ...(await proofOf(device, tlsKey, signed)), challenge, deviceId: id });
  });
  return adopt(device, enrollment, tlsKey, reply);
}

const roomName = 'renewal/room';
/** More than an enrollment and its endpoints have. */
const roomBytes = 32 * 1024;

/**
 * Holds the space that the answer takes while it is asked for: a device whose disk is full does not ask for certificates
 * that it then loses.
 * @throws STORE_FULL and whatever else the secret store says, before anybody was asked.
 */
async function withRoom<T>(secrets: SecretStore, ask: () => Promise<T>): Promise<T> {
  await secrets.write(roomName, new Uint8Array(roomBytes));
  try {
    return await ask();
  } finally {
    await secrets.delete(roomName).catch((error) => {
      // Another process of this device has done it.
      if (!hasCode(error, 'SECRET_NOT_FOUND')) throw error;
    });
  }
}

/**
 * When to renew, by this device's clock: when the daemon asked for it, or else at 2/3 of the certificate's life, the last
 * tenth of it by chance, so that a fleet that was paired together does not come together. A daemon that asks for a time at
 * which it is too early to renew, or too late to try again, is not followed.
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

/** What may be left after it came late, as a part of the life: less is taken for a clock that is ahead. */
const leastLeft = 1 / 4;

/**
 * How long the certificate holds from its arrival on, ms. Its own dates say it; what this device's clock says is believed
 * only where it means that the certificate was on its way for a while, as the first one of a device may be.
 */
export function certificateLifeMs(enrollment: PairedEnrollment): number {
  const { notAfter } = leafOf(enrollment);
  const lifeMs = issuedLifeMs(enrollment);
  const leftMs = notAfter.getTime() - enrollment.receivedAt;
  return leftMs > 0 && leftMs < lifeMs ? Math.max(leftMs, lifeMs * leastLeft) : lifeMs;
}

function issuedLifeMs(enrollment: PairedEnrollment): number {
  const { notBefore, notAfter } = leafOf(enrollment);
  // Dated back by less where the daemon's clock had been set back to just after the start of its authority.
  return Math.max(notAfter.getTime() - notBefore.getTime() - clockToleranceMs, MIN_LIFE_MS);
}

const leafOf = ({ certificateChain }: PairedEnrollment) =>
  readPeerCertificate(certificateChain[0] ?? new Uint8Array());

async function proofOf(device: RenewingDevice, tlsKey: TlsKey, signed: Uint8Array): Promise<KeyProof> {
  return {
    tlsKey: tlsKey.publicKey,
    tlsKeyProof: tlsKey.sign(signed),
    identitySignature: await device.identity.sign(signed),
  };
}

async function adopt(
  device: RenewingDevice,
  enrollment: PairedEnrollment,
  tlsKey: TlsKey,
  reply: RenewalReply,
): Promise<PairedEnrollment> {
  checkIssuedChain(reply.certificateChain, {
    deviceId: device.identity.id,
    trustDomain: enrollment.trustDomain,
    tlsKey,
    // The answer came over a channel that the old bundle vouches for, so it may name a new root.
    trustBundle: reply.trustBundle,
  });
  const renewed: PairedEnrollment = {
    ...enrollment,
    tlsKey: tlsKey.toPkcs8(),
    certificateChain: reply.certificateChain,
    trustBundle: reply.trustBundle,
    receivedAt: device.clock.now().getTime(),
    renewAfterMs: reply.renewAfterMs ?? 0,
  };
  await storeEnrollment(device.secrets, renewed);
  return storeToldEndpoints(device.secrets, renewed, reply.endpoints);
}
