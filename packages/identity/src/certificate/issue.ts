// The steps common to all certificate profiles: a life limited by the issuer's, a serial and a signature.

import { hash } from 'node:crypto';
import { type Clock, presentTime } from '../clock.ts';
import { IdentityError } from '../errors.ts';
import { clockToleranceMs, MIN_LIFE_MS } from '../limits.ts';
import { bitString, sequence } from './der.ts';
import type { CertificateSummary } from './peer-certificate.ts';
import { type CertificateFacts, signatureAlgorithm } from './profile.ts';
import type { CertificateSigner } from './signer.ts';
import { checkP256Spki } from './tls-key.ts';

/** The sources of time and randomness. */
export interface Surroundings {
  readonly clock: Clock;
  /** Bytes from a CSPRNG. */
  readonly randomBytes: (size: number) => Uint8Array;
}

export interface IssuedCertificate extends CertificateSummary {
  readonly der: Uint8Array;
  /** SHA-256 of the SubjectPublicKeyInfo, 32 bytes. */
  readonly keySha256: Uint8Array;
}

/**
 * @param issuer limits the dates of the certificate; undefined for a root.
 * @throws MESSAGE_INVALID for the key; CLOCK_WRONG for a time that cannot be the present; CERTIFICATE_EXPIRED if the
 *   issuer ends within a minute; CERTIFICATE_NOT_YET_VALID if the clock is before the issuer's start.
 */
export function makeFacts(
  { clock, randomBytes }: Surroundings,
  publicKey: Uint8Array,
  lifeMs: number,
  issuer: Pick<CertificateSummary, 'notBefore' | 'notAfter'> | undefined,
): CertificateFacts {
  checkP256Spki(publicKey);
  const now = presentTime(clock).getTime();
  const start = issuer?.notBefore.getTime() ?? -Infinity;
  const end = issuer?.notAfter.getTime() ?? Infinity;
  if (now < start) {
    throw new IdentityError(
      'CERTIFICATE_NOT_YET_VALID',
      `This machine's clock is before the start of its authority, ${issuer?.notBefore.toISOString()}: set the clock.`,
      { about: 'issuing_ca' },
    );
  }
  if (end - now < MIN_LIFE_MS) {
    throw new IdentityError(
      'CERTIFICATE_EXPIRED',
      `The authority ends at ${issuer?.notAfter.toISOString()} and can issue no more certificates. A running daemon replaces it once its clock has run steadily for 10 minutes. Check the clock.`,
      { about: 'issuing_ca' },
    );
  }
  return {
    serial: makeSerial(randomBytes(16)),
    notBefore: wholeSecond(Math.max(now - clockToleranceMs, start)),
    notAfter: wholeSecond(Math.min(now + lifeMs, end)),
    publicKey,
  };
}

/** Certificates have whole seconds, and the stored dates must equal theirs. */
const wholeSecond = (ms: number) => new Date(Math.floor(ms / 1000) * 1000);

/**
 * 128 bits whose first byte is 0x01 to 0x7f: positive, and always 16 bytes (RFC 5280 4.1.2.2).
 * @param random 16 bytes from a CSPRNG.
 */
export function makeSerial(random: Uint8Array): Uint8Array {
  if (random.length !== 16) throw new TypeError('makeSerial takes 16 random bytes');
  const serial = new Uint8Array(random);
  serial[0] = 1 + (serial[0]! % 127);
  return serial;
}

/** The fingerprint of a certificate's key. @param spki SubjectPublicKeyInfo, DER. */
export function keySha256(spki: Uint8Array): Uint8Array {
  return new Uint8Array(hash('sha256', spki, 'buffer'));
}

/** @param tbs the output of a profile. */
export async function signCertificate(
  tbs: Uint8Array,
  facts: CertificateFacts,
  signer: CertificateSigner,
): Promise<IssuedCertificate> {
  const der = new Uint8Array(sequence(tbs, signatureAlgorithm, bitString(await signer.sign(tbs))));
  return {
    der,
    serial: Buffer.from(facts.serial).toString('hex'),
    fingerprint: hash('sha256', der, 'hex'),
    keySha256: keySha256(facts.publicKey),
    notBefore: facts.notBefore,
    notAfter: facts.notAfter,
  };
}
