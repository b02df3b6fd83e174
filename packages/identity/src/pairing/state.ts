// A pairing is one record with one state. Only `step`, a pure function of (state, event, now), changes it.
//
//   waiting ──confirm──> pending_approval ──approve──> approved ──issue──> issued ──activate──> active
//    │ guess (takes one)      │                           │                   │
//    ├─exhaust─> exhausted    ├─reject─> rejected         │                   │
//    ├─withdraw─> rejected    │                           │                   │
//    └─expire─> expired       └─expire─> expired          └─expire─> expired  └─expire─> expired
//
// `revoke` moves pending_approval, approved and issued to rejected: the device was revoked before it connected.
// `restore` moves waiting, pending_approval and approved to rejected, because a backup does not know their later
// states. rejected, expired, exhausted and active are final. Any other move is PAIRING_STATE_CONFLICT.

import type { DeviceId, Ulid } from '../device-id.ts';
import { IdentityError } from '../errors.ts';
import type { DeviceKind } from '../fleet/device.ts';
import { clockToleranceMs } from '../limits.ts';
import type { ActorName } from '../registry/actor.ts';

/** The fields of every pairing. */
interface PairingBase {
  readonly id: Ulid;
  /** Number of changes, for compare-and-set in the registry. */
  readonly revision: number;
  readonly codeKind: 'typed' | 'qr';
  /** The typed code's 3 digits, or 32 hex digits for a QR code. Names the code; not secret. */
  readonly slot: string;
  readonly createdAt: Date;
  /** The actor who made the code with automatic approval. Undefined: the operator is asked. */
  readonly autoApprovedBy: ActorName | undefined;
  readonly guessesLeft: number;
  readonly guessesTaken: number;
}

/** The device that asks to be paired, as proven by the confirmed handshake. */
export interface PairingRequest {
  readonly deviceId: DeviceId;
  readonly identityKey: Uint8Array;
  /** P-256 SubjectPublicKeyInfo, DER. */
  readonly tlsKey: Uint8Array;
  readonly name: string;
  readonly kind: DeviceKind;
  readonly platform: string;
  readonly words: string;
  /** The peer's address, without the port. */
  readonly source: string;
  /** Whether the device id was known at the request, and with which identity key. */
  readonly continuity: 'new' | 'known' | 'another_key';
  /** Earlier failed guesses at this code. */
  readonly failedGuesses: number;
  /** Key for the proof of `Await`, sealed. */
  readonly sealedAwaitKey: Uint8Array;
}

export type Pairing = PairingBase &
  (
    | { readonly state: 'waiting'; readonly expiresAt: Date; readonly sealedSecret: Uint8Array }
    | { readonly state: 'pending_approval'; readonly expiresAt: Date; readonly request: PairingRequest }
    | { readonly state: 'approved'; readonly expiresAt: Date; readonly request: PairingRequest }
    | {
        readonly state: 'issued';
        readonly expiresAt: Date;
        readonly request: PairingRequest;
        readonly serial: string;
      }
    | { readonly state: 'active'; readonly request: PairingRequest; readonly serial: string }
    | { readonly state: 'rejected'; readonly request?: PairingRequest; readonly reason: string }
    | { readonly state: 'expired'; readonly request?: PairingRequest }
    | { readonly state: 'exhausted' }
  );

export type PairingState = Pairing['state'];

export type PairingEvent =
  | { readonly type: 'guess' }
  | { readonly type: 'confirm'; readonly request: PairingRequest; readonly expiresAt: Date }
  | { readonly type: 'withdraw'; readonly reason: string }
  | { readonly type: 'exhaust' }
  | { readonly type: 'approve'; readonly expiresAt: Date }
  | { readonly type: 'reject'; readonly reason: string }
  | { readonly type: 'issue'; readonly serial: string; readonly expiresAt: Date }
  | { readonly type: 'activate' }
  | { readonly type: 'expire' }
  /** The device is revoked. */
  | { readonly type: 'revoke'; readonly reason: string }
  /** The registry is restored from a backup. */
  | { readonly type: 'restore'; readonly reason: string };

/**
 * Returns the next state, or throws an error and leaves the pairing unchanged.
 * @throws PAIRING_EXPIRED if its time is over, recorded or not; PAIRING_STATE_CONFLICT for any move not in the diagram.
 */
export function step(pairing: Pairing, event: PairingEvent, now: Date): Pairing {
  const base = baseOf(pairing);
  const over = isDue(pairing, now);
  if (event.type === 'expire') {
    if (!over) throw conflict(pairing, event);
    return 'request' in pairing
      ? { ...base, state: 'expired', request: pairing.request }
      : { ...base, state: 'expired' };
  }
  if (over && event.type !== 'activate') throw expired(pairing);
  switch (pairing.state) {
    case 'waiting':
      if (event.type === 'guess' && pairing.guessesLeft > 0) {
        return { ...pairing, guessesLeft: pairing.guessesLeft - 1, guessesTaken: pairing.guessesTaken + 1 };
      }
      if (event.type === 'confirm') {
        return { ...base, state: 'pending_approval', expiresAt: event.expiresAt, request: event.request };
      }
      if (event.type === 'withdraw' || event.type === 'restore')
        return { ...base, state: 'rejected', reason: event.reason };
      if (event.type === 'exhaust' && pairing.guessesLeft === 0) return { ...base, state: 'exhausted' };
      break;
    case 'pending_approval':
      if (event.type === 'approve') return { ...pairing, state: 'approved', expiresAt: event.expiresAt };
      if (event.type === 'reject' || event.type === 'revoke' || event.type === 'restore') {
        return { ...base, state: 'rejected', request: pairing.request, reason: event.reason };
      }
      break;
    case 'approved':
      if (event.type === 'issue') {
        return { ...pairing, state: 'issued', serial: event.serial, expiresAt: event.expiresAt };
      }
      if (event.type === 'revoke' || event.type === 'restore')
        return { ...base, state: 'rejected', request: pairing.request, reason: event.reason };
      break;
    case 'issued':
      if (event.type === 'revoke')
        return { ...base, state: 'rejected', request: pairing.request, reason: event.reason };
      if (event.type === 'activate') {
        return { ...base, state: 'active', request: pairing.request, serial: pairing.serial };
      }
      break;
  }
  throw pairing.state === 'expired' ? expired(pairing) : conflict(pairing, event);
}

/** The bounds for due pairings at one instant, for `isDue` and for the registry's search. */
export interface DueBounds {
  /** A state that ends at this time or earlier is over. */
  readonly endedBy: Date;
  /** A pairing made after this time is over too: the clock was ahead, which must not give it a longer life. */
  readonly madeAfter: Date;
}

export function dueBounds(now: Date): DueBounds {
  return { endedBy: now, madeAfter: new Date(now.getTime() + clockToleranceMs) };
}

/** Whether the time of the present state is over. Final states have none. */
export function isDue(pairing: Pairing, now: Date): boolean {
  const { endedBy, madeAfter } = dueBounds(now);
  return 'expiresAt' in pairing && (pairing.expiresAt <= endedBy || pairing.createdAt > madeAfter);
}

function baseOf(pairing: Pairing): PairingBase {
  const { id, revision, codeKind, slot, createdAt, autoApprovedBy, guessesLeft, guessesTaken } = pairing;
  return { id, revision, codeKind, slot, createdAt, autoApprovedBy, guessesLeft, guessesTaken };
}

function expired({ id, state }: Pairing): IdentityError {
  const before = state === 'expired' ? '' : ` (it was ${state})`;
  return new IdentityError('PAIRING_EXPIRED', `Pairing ${id} has expired${before}.`, { pairingId: id });
}

function conflict(pairing: Pairing, event: PairingEvent): IdentityError {
  return new IdentityError(
    'PAIRING_STATE_CONFLICT',
    `Pairing ${pairing.id} is ${pairing.state}, so it cannot take "${event.type}". A decision cannot be changed.`,
  );
}
