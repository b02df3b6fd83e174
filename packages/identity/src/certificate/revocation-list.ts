// The revocation list of an authority (RFC 5280 section 5), for programs that verify devices without asking the
// registry: nginx, HAProxy, OpenSSL. The daemon's own listeners never use it.
//
// The list of a large fleet has a million entries and 35 MB, so it is made and kept in parts, with a pause for other
// work after each part.

import { setImmediate as nextTurn } from 'node:timers/promises';
import { IdentityError } from '../errors.ts';
import {
  bitString,
  explicit,
  integer,
  objectIdentifier,
  octetString,
  sequence,
  sequenceHeading,
  time,
} from './der.ts';
import { describeIssuer, signatureAlgorithm } from './profile.ts';
import type { Signer } from './signer.ts';

/** Most entries of one list, 35 bytes each. */
export const MAX_LISTED = 4_000_000;

export interface RevokedCertificate {
  /** 32 lower-case hex digits. */
  readonly serial: string;
  readonly revokedAt: Date;
}

export interface RevocationListFacts {
  /** The authority whose list this is. */
  readonly tier: 'root' | 'issuing';
  readonly trustDomain: string;
  /** Increases with every list of this authority (RFC 5280 5.2.3). */
  readonly number: number;
  readonly thisUpdate: Date;
  readonly nextUpdate: Date;
  /** In pages of a few hundred entries. Each page is encoded without a pause. */
  readonly revoked: AsyncIterable<readonly RevokedCertificate[]>;
}

const version2 = integer(Uint8Array.of(1));
const crlNumber = objectIdentifier('2.5.29.20');

/** The signed list, DER, in parts. @throws MESSAGE_TOO_LARGE for more than MAX_LISTED entries; errors of `revoked`. */
export async function makeRevocationList(signer: Signer, facts: RevocationListFacts): Promise<Uint8Array[]> {
  const entries = await encodeEntries(facts);
  const issuer = describeIssuer(facts.tier, facts.trustDomain, signer.publicKey);
  const number = Buffer.alloc(6);
  number.writeUIntBE(facts.number, 0, 6);
  const entriesLength = lengthOf(entries);
  const before = Buffer.concat([
    version2,
    signatureAlgorithm,
    issuer.name,
    time(facts.thisUpdate),
    time(facts.nextUpdate),
    // Absent rather than empty (RFC 5280 5.1.2.6).
    ...(entriesLength > 0 ? [sequenceHeading(entriesLength)] : []),
  ]);
  const extensions = explicit(
    0,
    sequence(issuer.authorityKeyId, sequence(crlNumber, octetString(integer(number)))),
  );
  const listLength = before.length + entriesLength + extensions.length;
  const list = [Buffer.concat([sequenceHeading(listLength), before]), ...entries, extensions];

  const signing = signer.startSigning();
  for (const part of list) {
    signing.update(part);
    await nextTurn();
  }
  const end = Buffer.concat([signatureAlgorithm, bitString(await signing.end())]);
  return [sequenceHeading(lengthOf(list) + end.length), ...list, end];
}

/** One part for each page. */
async function encodeEntries({ revoked, thisUpdate }: RevocationListFacts): Promise<Uint8Array[]> {
  const parts: Uint8Array[] = [];
  let count = 0;
  for await (const page of revoked) {
    count += page.length;
    if (count > MAX_LISTED) {
      throw new IdentityError('MESSAGE_TOO_LARGE', `A revocation list holds at most ${MAX_LISTED} entries.`);
    }
    const encoded = page.map(({ serial, revokedAt }) =>
      // The list has an earlier date, and the clock may have been set back: no entry may be newer than the list.
      sequence(integer(Buffer.from(serial, 'hex')), time(revokedAt < thisUpdate ? revokedAt : thisUpdate)),
    );
    // A separate buffer, because a slice of Node's pool would keep the whole pool in memory.
    const part = new Uint8Array(lengthOf(encoded));
    let at = 0;
    for (const entry of encoded) {
      part.set(entry, at);
      at += entry.length;
    }
    parts.push(part);
    await nextTurn();
  }
  return parts;
}

const lengthOf = (parts: readonly Uint8Array[]) => parts.reduce((sum, part) => sum + part.length, 0);
