// Certificates that this project never issues, and that readers must refuse.

import {
  bitString,
  booleanTrue,
  explicit,
  integer,
  objectIdentifier,
  octetString,
  sequence,
  time,
} from '../der.ts';
import { LocalSigner } from '../local-signer.ts';
import { signatureAlgorithm } from '../profile.ts';

export interface OddCertificate {
  /** GeneralName elements, one list for each subjectAltName extension. */
  readonly names: readonly (readonly Uint8Array[])[];
  readonly ca?: boolean;
  /** The encoded INTEGER. */
  readonly serial?: Uint8Array;
  /** The encoded notAfter. */
  readonly notAfter?: Uint8Array;
  /** Bytes that make it larger. */
  readonly padding?: number;
}

/** Self-signed, DER. */
export function oddCertificate(odd: OddCertificate): Uint8Array {
  const signer = LocalSigner.generate();
  const extension = (id: string, value: Uint8Array) => sequence(objectIdentifier(id), octetString(value));
  const tbs = sequence(
    explicit(0, integer(Uint8Array.of(2))),
    odd.serial ?? integer(Uint8Array.of(1)),
    signatureAlgorithm,
    sequence(),
    sequence(time(new Date('2026-01-01')), odd.notAfter ?? time(new Date('2027-01-01'))),
    sequence(),
    signer.publicKey,
    explicit(
      3,
      sequence(
        extension('2.5.29.19', odd.ca ? sequence(booleanTrue) : sequence()),
        ...odd.names.map((names) => extension('2.5.29.17', sequence(...names))),
        extension('1.3.6.1.4.1.55555.1', octetString(new Uint8Array(odd.padding ?? 0))),
      ),
    ),
  );
  return sequence(tbs, signatureAlgorithm, bitString(signer.sign(tbs)));
}
