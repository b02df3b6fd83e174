// The revocation list of an authority (RFC 5280 section 5), for programs that verify devices without asking the
// registry: nginx, HAProxy, OpenSSL. The daemon's own listeners never use it.

import { bitString, explicit, integer, objectIdentifier, octetString, sequence, time } from './der.ts';
import { describeIssuer, signatureAlgorithm } from './profile.ts';
import type { Signer } from './signer.ts';

/** Most entries of one list; about 40 bytes each. */
export const MAX_LISTED = 200_000;

export interface RevokedCertificate {
  /** 32 lower-case hex digits. */
  readonly serial: string;
  readonly revokedAt: Date;
}

export interface RevocationListFacts {
  /** Of the authority whose list it is. */
  readonly tier: 'root' | 'issuing';
  readonly trustDomain: string;
  /** Counts up with every list of this authority (RFC 5280 5.2.3). */
  readonly number: number;
  readonly thisUpdate: Date;
  readonly nextUpdate: Date;
  readonly revoked: readonly RevokedCertificate[];
}

const version2 = integer(Uint8Array.of(1));
const crlNumber = objectIdentifier('2.5.29.20');

/** The signed list, DER. @throws TypeError for more than MAX_LISTED entries. */
export async function makeRevocationList(signer: Signer, facts: RevocationListFacts): Promise<Uint8Array> {
  if (facts.revoked.length > MAX_LISTED)
    throw new TypeError(`a revocation list holds at most ${MAX_LISTED} entries`);
  const issuer = describeIssuer(facts.tier, facts.trustDomain, signer.publicKey);
  const entries = facts.revoked.map(({ serial, revokedAt }) =>
    sequence(integer(Buffer.from(serial, 'hex')), time(revokedAt)),
  );
  const number = Buffer.alloc(6);
  number.writeUIntBE(facts.number, 0, 6);
  const list = sequence(
    version2,
    signatureAlgorithm,
    issuer.name,
    time(facts.thisUpdate),
    time(facts.nextUpdate),
    // Absent rather than empty (RFC 5280 5.1.2.6).
    ...(entries.length > 0 ? [sequence(...entries)] : []),
    explicit(0, sequence(issuer.authorityKeyId, sequence(crlNumber, octetString(integer(number))))),
  );
  return new Uint8Array(sequence(list, signatureAlgorithm, bitString(await signer.sign(list))));
}
