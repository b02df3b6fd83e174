// Explains the decision about one thing, with its reasons, in the words for the refused peer.

import { IdentityError, type IdentityErrorCode, type IdentityManager } from '@palyra/identity';
import { serialsIn } from '@palyra/identity/certificate';
import {
  type AdmittedDevice,
  type AuditAction,
  type AuditRow,
  type CertificateRecord,
  type CloneSign,
  type Device,
  judgeStanding,
  type Pairing,
  revokedMessage,
  standingMessages,
} from '@palyra/identity/registry';
import { parseDeviceId } from '@palyra/identity/values';
import type { Advice, Decision, ExplainedKind } from '@palyra/rpc/admin';

export interface Explanation {
  readonly kind: ExplainedKind;
  readonly decision: Decision;
  /** The stable code, or OK. */
  readonly code: IdentityErrorCode | 'OK';
  readonly reasons: readonly string[];
  /** The device that the explanation is about, if there is one. */
  readonly deviceId?: string;
  /** The next step for the operator, if the code does not imply it. */
  readonly advice?: Advice;
}

/** About two years of certificates that live a day. */
const certificatesLookedAt = 1000;

/**
 * @param id a device id, a pairing id, a certificate's serial or its fingerprint (64 hex digits); of the last two, each form
 *   in which other programs print them.
 * @throws NOTHING_FOUND
 */
export async function explain(identity: IdentityManager, id: string): Promise<Explanation> {
  const { registry } = identity;
  if (/^[0-7][0-9A-HJKMNP-TV-Z]{25}$/i.test(id)) {
    const ulid = parseDeviceId(id.toUpperCase());
    const device = await registry.device(ulid);
    if (device) return explainDevice(identity, device);
    const pairing = await registry.pairing(ulid);
    if (pairing) return explainPairing(identity, pairing);
  } else {
    const fingerprint = id
      .toLowerCase()
      .replace(/^[^=]*=/, '')
      .replaceAll(/[:\s]/g, '');
    const names = /^[0-9a-f]{64}$/.test(fingerprint)
      ? [{ fingerprint }]
      : serialsIn(id).map((serial) => ({ serial }));
    for (const name of names) {
      const certificate = await registry.certificate(name);
      if (certificate) return explainCertificate(identity, certificate);
    }
  }
  throw new IdentityError(
    'NOTHING_FOUND',
    'No device, certificate or pairing has this id. Give a device or pairing id (26 characters), a serial (32 hex digits) or a fingerprint (64 hex digits).',
  );
}

async function explainCertificate(
  identity: IdentityManager,
  record: CertificateRecord,
): Promise<Explanation> {
  if (record.subject.kind === 'daemon') {
    const reasons = [`It is the daemon's own, valid until ${record.notAfter.toISOString()}.`];
    return { kind: 'certificate', decision: 'allowed', code: 'OK', reasons };
  }
  const verdict = judgeStanding(
    await identity.registry.standing(record.fingerprint),
    identity.clock.now().getTime(),
  );
  const reasons = [
    `It belongs to device ${record.subject.id} and is ${record.state}.`,
    `It is valid from ${record.notBefore.toISOString()} to ${record.notAfter.toISOString()}.`,
  ];
  const deviceId = record.subject.id;
  if (verdict.ok) return { kind: 'certificate', decision: 'allowed', code: 'OK', reasons, deviceId };
  const revoked =
    (await lastRow(identity, record.serial, 'certificate.revoked')) ??
    (await lastRow(identity, record.serial, 'certificate.carried_over'));
  reasons.push(...(await suspicionOf(identity, record.serial)));
  if (revoked)
    reasons.push(`Revoked at ${new Date(revoked.atMs).toISOString()}: ${reasonIn(revoked.detailJson)}.`);
  const device = verdict.code === 'DEVICE_REVOKED' ? await identity.registry.device(deviceId) : undefined;
  reasons.push(
    device?.state === 'revoked' ? revokedMessage(device.revocationReason) : standingMessages[verdict.code],
  );
  return { kind: 'certificate', decision: 'refused', code: verdict.code, reasons, deviceId };
}

/** The latest sign of a copy in the history of this certificate. */
async function suspicionOf(identity: IdentityManager, serial: string): Promise<string[]> {
  const row = await lastRow(identity, serial, 'certificate.reused');
  if (!row) return [];
  const { source, sign } = JSON.parse(row.detailJson) as { source?: string; sign: CloneSign };
  const from = `at ${new Date(row.atMs).toISOString()} from ${source || 'an unknown address'}`;
  const signs: Readonly<Record<CloneSign, string>> = {
    recovery: `While certificate ${serial} was valid, another one was requested ${from} with the identity key alone: there is a copy of the device, the device was restored from a backup, or somebody recovered it by hand.`,
    replaced_certificate: `Certificate ${serial} had been replaced and was used again ${from}: the device was restored from a backup, or there is a copy of it.`,
    second_agent: `With certificate ${serial} a second agent connected ${from} while the first one was still answering, and was refused: the home of the device was copied, and either agent may be the copy.`,
  };
  return [signs[sign]];
}

async function lastRow(
  { registry }: IdentityManager,
  subject: string,
  action: AuditAction,
): Promise<AuditRow | undefined> {
  return (await registry.audit({ subject, action, limit: 1 }))[0];
}

function reasonIn(detailJson: string): string {
  const { reason }: { reason?: string } = JSON.parse(detailJson);
  return reason || 'no reason given';
}

async function explainDevice(identity: IdentityManager, device: Device): Promise<Explanation> {
  if (device.state === 'revoked') {
    return {
      kind: 'device',
      decision: 'refused',
      code: 'DEVICE_REVOKED',
      reasons: [`${device.name} was revoked: ${device.revocationReason || 'no reason given'}.`],
      deviceId: device.id,
    };
  }
  const certificates = await identity.registry.certificatesOf(device.id, certificatesLookedAt);
  const looked = device.cloneSeenAt ? certificates : [];
  const suspicions = (await Promise.all(looked.map(({ serial }) => suspicionOf(identity, serial)))).flat();
  if (device.state === 'quarantined') {
    return {
      kind: 'device',
      decision: 'refused',
      code: 'DEVICE_QUARANTINED',
      reasons: [`${device.name} is quarantined.`, ...suspicions],
      deviceId: device.id,
    };
  }
  const accepted = await acceptedCertificate(identity, device);
  const { recovery } = device;
  const asked = recovery?.state === 'asked' ? await recoveryAsked(identity, device, recovery.at) : undefined;
  if (asked && !accepted) {
    const reasons = [...asked.reasons, ...suspicions, ...asked.warning];
    const code = 'RECOVERY_NEEDS_APPROVAL';
    return { kind: 'device', decision: 'refused', code, reasons, deviceId: device.id };
  }
  const newest = accepted ?? certificates.find((each) => each.state === 'active') ?? certificates[0];
  if (!newest) {
    return {
      kind: 'device',
      decision: 'waiting',
      code: 'OK',
      reasons: [`${device.name} is approved, but has not fetched a certificate yet.`],
      deviceId: device.id,
      advice: 'pair_again',
    };
  }
  const { reasons, ...rest } = await explainCertificate(identity, newest);
  const advice = asked ? 'release_or_revoke' : device.cloneSeenAt ? 'release_when_sure' : undefined;
  return {
    ...rest,
    kind: 'device',
    reasons: [
      `${device.name} is ${device.state}${device.role === 'operator' ? ', and an OPERATOR' : ''}.`,
      ...reasons,
      ...(device.certificateRevokedAt
        ? [
            `One of its certificates was revoked at ${device.certificateRevokedAt.toISOString()}: since then, it can recover only after a release by the operator.`,
          ]
        : []),
      ...(asked?.reasons ?? []),
      ...suspicions,
      ...(asked?.warning ?? []),
    ],
    ...(advice && { advice }),
  };
}

/** A certificate with which the device may call now. The used one comes before unused ones. */
async function acceptedCertificate(
  { registry, clock }: IdentityManager,
  device: Device,
): Promise<CertificateRecord | undefined> {
  const accepted: CertificateRecord[] = [];
  for (const each of await registry.livingCertificates(device.id)) {
    if (judgeStanding(await registry.standing(each.fingerprint), clock.now().getTime()).ok)
      accepted.push(each);
  }
  return accepted.find(({ state }) => state === 'active') ?? accepted[0];
}

async function recoveryAsked(identity: IdentityManager, { id, name, cloneSeenAt }: AdmittedDevice, at: Date) {
  const row = await lastRow(identity, id, 'recovery.asked');
  const { possible_copy = false }: { possible_copy?: boolean } = JSON.parse(row?.detailJson ?? '{}');
  return {
    reasons: [
      `${name} asked at ${at.toISOString()} to recover.`,
      ...(row ? [`The operator must decide, because ${reasonIn(row.detailJson)}.`] : []),
    ],
    warning:
      cloneSeenAt || possible_copy
        ? [
            'IT MAY HAVE BEEN COPIED: after a release, the first holder of its identity key can recover, even if that is the copy.',
          ]
        : [],
  };
}

const pairingAnswers: Readonly<
  Record<Pairing['state'], Pick<Explanation, 'decision' | 'code' | 'advice'> & { why: string }>
> = {
  waiting: {
    decision: 'waiting',
    code: 'OK',
    why: 'The code is waiting for a device.',
    advice: 'pair',
  },
  pending_approval: {
    decision: 'waiting',
    code: 'OK',
    why: 'A device proved the code and is waiting for the operator. Without a decision it is not paired.',
    advice: 'decide',
  },
  approved: {
    decision: 'allowed',
    code: 'OK',
    why: 'The operator approved the request. The device has not fetched its certificate yet.',
    advice: 'pair_again',
  },
  issued: {
    decision: 'allowed',
    code: 'OK',
    why: 'The certificate was issued and has not been used yet.',
    advice: 'connect',
  },
  active: { decision: 'allowed', code: 'OK', why: 'The device has connected.' },
  rejected: {
    decision: 'refused',
    code: 'PAIRING_REJECTED',
    why: 'It was rejected or withdrawn, which cannot be changed.',
  },
  expired: {
    decision: 'refused',
    code: 'PAIRING_EXPIRED',
    why: 'It expired before it was completed.',
  },
  exhausted: {
    decision: 'refused',
    code: 'PAIRING_CODE_WRONG',
    why: 'Wrong PINs used up every guess at the code. Somebody mistyped, or somebody is guessing.',
  },
};

async function explainPairing(identity: IdentityManager, pairing: Pairing): Promise<Explanation> {
  const { why, ...answer } = pairingAnswers[pairing.state];
  const reasons = [why];
  if (pairing.guessesTaken > 0)
    reasons.push(`Guesses taken: ${pairing.guessesTaken}, left: ${pairing.guessesLeft}.`);
  if (pairing.state === 'rejected' && pairing.reason) reasons.push(`Reason given: ${pairing.reason}.`);
  if ('expiresAt' in pairing) reasons.push(`This state ends at ${pairing.expiresAt.toISOString()}.`);
  const request = 'request' in pairing ? pairing.request : undefined;
  const device = request && (await identity.registry.device(request.deviceId));
  if (request) reasons.push(`Device ${request.deviceId} (${request.name}) asked from ${request.source}.`);
  if (device?.state === 'revoked' || device?.state === 'quarantined') {
    const code = device.state === 'revoked' ? 'DEVICE_REVOKED' : 'DEVICE_QUARANTINED';
    return {
      kind: 'pairing',
      decision: 'refused',
      code,
      reasons: [...reasons, `The device is ${device.state}.`],
      deviceId: device.id,
    };
  }
  return { kind: 'pairing', ...answer, reasons };
}
