// The four certificates of this system, from facts to the bytes to sign (TBSCertificate, RFC 5280 4.1). Constant parts
// are encoded once. Leaves conform to SPIFFE X509-SVID, authorities to its section 3.2.
//
// The subject alternative name is not critical, because no subject here is empty (RFC 5280 4.2.1.6).

import { bytesToHex, concatBytes } from '@noble/curves/utils.js';
import { sha256 } from '@noble/hashes/sha2.js';
import type { DeviceId, Ulid } from '../device-id.ts';
import { IdentityError } from '../errors.ts';
import {
  bitString,
  booleanTrue,
  explicit,
  implicit,
  integer,
  objectIdentifier,
  octetString,
  sequence,
  setOf,
  time,
  utf8String,
} from './der.ts';
import { ipAddressBytes, isDnsName } from './host-name.ts';
import { daemonSpiffeId, deviceSpiffeId, trustDomainSpiffeId } from './spiffe-id.ts';

/** Most DNS names and addresses of a daemon, in addition to its trust domain and `localhost`. */
export const MAX_DAEMON_NAMES = 32;

/** Most DNS names of a device. */
export const MAX_DEVICE_NAMES = 16;

/** The facts common to all certificates. */
export interface CertificateFacts {
  /** 16 bytes, the first 0x01 to 0x7f. */
  readonly serial: Uint8Array;
  readonly notBefore: Date;
  readonly notAfter: Date;
  /** A checked P-256 SubjectPublicKeyInfo. */
  readonly publicKey: Uint8Array;
}

/** The facts that all certificates of one authority repeat. */
export interface Issuer {
  readonly trustDomain: string;
  /** The authority's subject, encoded. */
  readonly name: Uint8Array;
  /** The first 20 bytes of the SHA-256 of its public key's bits (RFC 7093 2, method 1). */
  readonly keyId: Uint8Array;
  /** The authority key identifier extension of its certificates. */
  readonly authorityKeyId: Uint8Array;
}

/** ecdsa-with-SHA256; its parameters are absent (RFC 5758 3.2). */
export const signatureAlgorithm = sequence(objectIdentifier('1.2.840.10045.4.3.2'));

const version3 = explicit(0, integer(Uint8Array.of(2)));
const commonName = objectIdentifier('2.5.4.3');
/** The encoded object identifier. */
export const subjectAltName = objectIdentifier('2.5.29.17');
const subjectKeyIdentifier = objectIdentifier('2.5.29.14');
const authorityKeyIdentifier = objectIdentifier('2.5.29.35');

const critical = (id: string, value: Uint8Array) =>
  sequence(objectIdentifier(id), booleanTrue, octetString(value));
const basicConstraints = (value: Uint8Array) => critical('2.5.29.19', value);
/** Bits, counted from the left: 0 digitalSignature, 5 keyCertSign, 6 cRLSign (RFC 5280 4.2.1.3). */
const keyUsage = (bits: number, unused: number) =>
  critical('2.5.29.15', bitString(Uint8Array.of(bits), unused));

const authorityExtensions = (pathLength: number) =>
  concatBytes(
    basicConstraints(sequence(booleanTrue, integer(Uint8Array.of(pathLength)))),
    keyUsage(0b0000_0110, 1),
  );
const rootExtensions = authorityExtensions(1);
const issuingExtensions = authorityExtensions(0);
const leafExtensions = concatBytes(
  basicConstraints(sequence()),
  keyUsage(0b1000_0000, 7),
  sequence(
    objectIdentifier('2.5.29.37'),
    octetString(sequence(objectIdentifier('1.3.6.1.5.5.7.3.1'), objectIdentifier('1.3.6.1.5.5.7.3.2'))),
  ),
);

/**
 * An authority's name follows from its tier and key, so that a program that finds issuers only by name finds the right
 * one during a rotation.
 */
export function describeIssuer(tier: 'root' | 'issuing', trustDomain: string, publicKey: Uint8Array): Issuer {
  const keyId = keyIdentifier(publicKey);
  const name = subject(`Palyra ${tier} CA ${bytesToHex(keyId.subarray(0, 4))}`);
  const authorityKeyId = sequence(authorityKeyIdentifier, octetString(sequence(implicit(0, keyId))));
  return { trustDomain, name, keyId, authorityKeyId };
}

/** @param self the root itself, with `facts.publicKey`. */
export function rootProfile(self: Issuer, facts: CertificateFacts): Uint8Array {
  return tbsCertificate(self, facts, self.name, rootExtensions, self.keyId, [
    uri(trustDomainSpiffeId(self.trustDomain)),
  ]);
}

export function issuingProfile(root: Issuer, facts: CertificateFacts): Uint8Array {
  const { name, keyId } = describeIssuer('issuing', root.trustDomain, facts.publicKey);
  return tbsCertificate(root, facts, name, issuingExtensions, keyId, [
    uri(trustDomainSpiffeId(root.trustDomain)),
  ]);
}

export interface DaemonFacts extends CertificateFacts {
  readonly daemonId: Ulid;
  /** The daemon's names and IPv4 or IPv6 addresses, at most MAX_DAEMON_NAMES. */
  readonly dnsNames: readonly string[];
  readonly ipAddresses: readonly string[];
}

/** @throws MESSAGE_INVALID for an invalid DNS name or address, or too many. */
export function daemonProfile(issuer: Issuer, facts: DaemonFacts): Uint8Array {
  if (facts.dnsNames.length + facts.ipAddresses.length > MAX_DAEMON_NAMES) {
    throw invalidName(`A daemon has at most ${MAX_DAEMON_NAMES} host names and addresses.`);
  }
  const configured = facts.dnsNames.map((name) => name.toLowerCase());
  const dnsNames = new Set<string>([issuer.trustDomain, 'localhost', ...configured]);
  return tbsCertificate(
    issuer,
    facts,
    subject(`daemon ${facts.daemonId}`),
    leafExtensions,
    keyIdentifier(facts.publicKey),
    [
      uri(daemonSpiffeId(issuer.trustDomain, facts.daemonId)),
      ...Array.from(dnsNames, dnsName),
      ...facts.ipAddresses.map(ipAddress),
    ],
  );
}

export interface DeviceFacts extends CertificateFacts {
  readonly deviceId: DeviceId;
  /** At most MAX_DEVICE_NAMES. */
  readonly dnsNames: readonly string[];
}

/**
 * @throws MESSAGE_INVALID for an invalid DNS name, for too many, and for a name by which clients know a daemon
 *   (docs/quic.md 1): the trust domain and `localhost`.
 */
export function deviceProfile(issuer: Issuer, facts: DeviceFacts): Uint8Array {
  if (facts.dnsNames.length > MAX_DEVICE_NAMES)
    throw invalidName(`A device has at most ${MAX_DEVICE_NAMES} host names.`);
  if (facts.dnsNames.some((name) => name === issuer.trustDomain || name === 'localhost'))
    throw invalidName('A device cannot have a name of the daemon.');
  return tbsCertificate(
    issuer,
    facts,
    subject(`device ${facts.deviceId}`),
    leafExtensions,
    keyIdentifier(facts.publicKey),
    [uri(deviceSpiffeId(issuer.trustDomain, facts.deviceId)), ...facts.dnsNames.map(dnsName)],
  );
}

function tbsCertificate(
  issuer: Issuer,
  facts: CertificateFacts,
  subjectName: Uint8Array,
  fixedExtensions: Uint8Array,
  keyId: Uint8Array,
  names: readonly Uint8Array[],
): Uint8Array {
  return sequence(
    version3,
    integer(facts.serial),
    signatureAlgorithm,
    issuer.name,
    sequence(time(facts.notBefore), time(facts.notAfter)),
    subjectName,
    facts.publicKey,
    explicit(
      3,
      sequence(
        fixedExtensions,
        sequence(subjectKeyIdentifier, octetString(octetString(keyId))),
        issuer.authorityKeyId,
        sequence(subjectAltName, octetString(sequence(...names))),
      ),
    ),
  );
}

/** One common name of at most 64 characters (RFC 5280 A.1, ub-common-name). Our longest has 33. */
const subject = (text: string) => sequence(setOf(sequence(commonName, utf8String(text))));

/** The point follows the 26 bytes of the P-256 SubjectPublicKeyInfo's header. */
const keyIdentifier = (spki: Uint8Array) => sha256(spki.subarray(26)).subarray(0, 20);

const uri = (text: string) => implicit(6, text);

function dnsName(text: string): Uint8Array {
  if (!isDnsName(text)) throw invalidName(`"${text}" is not a DNS name (wildcards are not allowed).`);
  return implicit(2, text);
}

function ipAddress(text: string): Uint8Array {
  const bytes = ipAddressBytes(text);
  if (bytes === undefined) throw invalidName(`"${text}" is not an IPv4 or IPv6 address.`);
  return implicit(7, bytes);
}

const invalidName = (message: string) => new IdentityError('MESSAGE_INVALID', message);
