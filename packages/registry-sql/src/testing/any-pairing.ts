// Arbitrary pairings for property tests: every state, with and without each optional part.

import type { DeviceKind, Pairing, PairingRequest } from '@palyra/identity/registry';
import { makeUlid } from '@palyra/identity/values';
import fc from 'fast-check';

const ulid = fc
  .tuple(fc.date({ min: new Date(0), max: new Date(2 ** 47), noInvalidDate: true }), bytes(10, 10))
  .map(([date, random]) => makeUlid(date, random));
const date = fc.date({ noInvalidDate: true });
const text = fc.string({ unit: 'grapheme' });
const count = fc.nat();

const request: fc.Arbitrary<PairingRequest> = record({
  deviceId: ulid,
  identityKey: bytes(32, 32),
  tlsKey: bytes(0, 120),
  name: text,
  kind: fc.constantFrom<DeviceKind>('cli', 'desktop', 'browser', 'node'),
  platform: text,
  words: text,
  source: text,
  continuity: fc.constantFrom<PairingRequest['continuity']>('new', 'known', 'another_key'),
  failedGuesses: count,
  sealedAwaitKey: bytes(0, 80),
});

const base = {
  id: ulid,
  revision: count,
  codeKind: fc.constantFrom<Pairing['codeKind']>('typed', 'qr'),
  slot: text,
  createdAt: date,
  autoApprovedBy: fc.option(
    fc.oneof(
      fc.constantFrom('admin socket' as const, 'console' as const, 'program' as const),
      ulid.map((id) => `device:${id}` as const),
    ),
    { nil: undefined },
  ),
  guessesLeft: count,
  guessesTaken: count,
};

export const anyPairing: fc.Arbitrary<Pairing> = fc.oneof(
  record({ ...base, state: fc.constant('waiting'), expiresAt: date, sealedSecret: bytes(0, 80) }),
  record({ ...base, state: fc.constant('pending_approval'), expiresAt: date, request }),
  record({ ...base, state: fc.constant('approved'), expiresAt: date, request }),
  record({ ...base, state: fc.constant('issued'), expiresAt: date, request, serial: text }),
  record({ ...base, state: fc.constant('active'), request, serial: text }),
  record({ ...base, state: fc.constant('rejected'), request, reason: text }),
  record({ ...base, state: fc.constant('rejected'), reason: text }),
  record({ ...base, state: fc.constant('expired'), request }),
  record({ ...base, state: fc.constant('expired') }),
  record({ ...base, state: fc.constant('exhausted') }),
) as fc.Arbitrary<Pairing>;

function bytes(minLength: number, maxLength: number): fc.Arbitrary<Uint8Array> {
  return fc.uint8Array({ minLength, maxLength });
}

/** Only ordinary objects. By default fast-check also makes objects without a prototype. */
function record<T>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<T> {
  return fc.record(model, { noNullPrototype: true });
}
