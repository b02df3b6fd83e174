// Handshake sessions of the daemon's side, in memory. Each belongs to one TLS channel and is used up by each step.

import { bytesToHex } from '@noble/curves/utils.js';
import type { Clock } from '../clock.ts';
import type { PairingCrypto } from '../crypto/port.ts';
import { IdentityError } from '../errors.ts';
import type { DeviceKind } from '../fleet/device.ts';
import type { PairingLimits } from '../limits.ts';
import type { DeviceHello } from './hello.ts';
import type { PairingKeys, PairingSession } from './transcript.ts';

/** The TLS channel of a call. */
export interface PairingChannel {
  /** TLS exporter `EXPORTER-Channel-Binding`, 32 bytes (RFC 9266). */
  readonly channelBinding: Uint8Array;
  /** The peer's address without the port, for the operator. */
  readonly source: string;
}

interface SessionBase {
  readonly channelBinding: Uint8Array;
  readonly kind: DeviceKind;
  /** Undefined for a dummy session. */
  readonly pairingId: string | undefined;
  readonly expiresAtMs: number;
}
export type Session = SessionBase &
  (
    | ({ readonly step: 'opened' } & Opened)
    | {
        readonly step: 'exchanged';
        readonly hello: DeviceHello;
        readonly keys: PairingKeys;
        /** After this session's guess; undefined when the code could not take one. */
        readonly guessesLeft: number | undefined;
      }
  );

/** The daemon's side of the exchange, fixed before the device's share is known. */
interface Opened extends PairingSession {
  readonly scalar: Uint8Array;
  readonly yb: Uint8Array;
  readonly adB: Uint8Array;
  readonly nonce: Uint8Array;
}

export interface SessionsOptions {
  readonly crypto: Pick<PairingCrypto, 'equal'>;
  readonly clock: Clock;
  readonly limits: Pick<PairingLimits, 'sessions' | 'sessionLifeMs'>;
}

export class Sessions {
  readonly #options: SessionsOptions;
  /** By session id, hex; in order of opening, so the oldest are first. */
  readonly #sessions = new Map<string, Session>();
  /** Sessions in use by an Exchange or Confirm that has not answered yet. */
  readonly #inHand = new Set<Session>();

  constructor(options: SessionsOptions) {
    this.#options = options;
  }

  /** @throws TOO_MANY_SESSIONS */
  mustHaveRoom(): void {
    const { limits } = this.#options;
    if (this.#sessions.size + this.#inHand.size < limits.sessions) return;
    throw new IdentityError('TOO_MANY_SESSIONS', 'Too many pairings are in progress.', {
      retryAfterMs: limits.sessionLifeMs,
    });
  }

  keep(sessionId: Uint8Array, session: Session): void {
    this.#sessions.set(bytesToHex(sessionId), session);
  }

  /** Takes a session out, so that a second call on it, even a simultaneous one, fails. @throws SESSION_NOT_FOUND */
  take<S extends Session['step']>(
    sessionId: Uint8Array,
    channel: PairingChannel,
    expected: S,
  ): Extract<Session, { step: S }> {
    const key = bytesToHex(sessionId);
    const session = this.#sessions.get(key);
    const mine = session && this.#options.crypto.equal(session.channelBinding, channel.channelBinding);
    if (!mine || session.step !== expected || this.#options.clock.now().getTime() >= session.expiresAtMs) {
      throw new IdentityError(
        'SESSION_NOT_FOUND',
        'This pairing session is unknown, expired or already used. Start again with the same code.',
      );
    }
    this.#sessions.delete(key);
    return session as Extract<Session, { step: S }>;
  }

  /** Keeps a code from ending during a call that works on its last guess. */
  hold(session: Session): Disposable {
    this.#inHand.add(session);
    return { [Symbol.dispose]: () => this.#inHand.delete(session) };
  }

  /** Whether a handshake in progress may still confirm. */
  isLive(pairingId: string): boolean {
    const sessions = [...this.#sessions.values(), ...this.#inHand];
    return sessions.some((session) => session.pairingId === pairingId);
  }

  /** Releases the code after a call. */
  release(session: Session): void {
    this.#inHand.delete(session);
  }

  /** Drops the sessions of a closed TLS channel, which cannot continue. */
  channelEnded({ channelBinding }: PairingChannel): void {
    for (const [id, session] of this.#sessions) {
      if (this.#options.crypto.equal(session.channelBinding, channelBinding)) this.#sessions.delete(id);
    }
  }

  /** Drops expired sessions. */
  dropOld(): void {
    const { clock, limits } = this.#options;
    const nowMs = clock.now().getTime();
    for (const [id, session] of this.#sessions) {
      // A clock set back must not keep a session alive for longer than its life.
      const life = session.expiresAtMs - nowMs;
      if (life <= 0 || life > limits.sessionLifeMs) this.#sessions.delete(id);
    }
  }
}
