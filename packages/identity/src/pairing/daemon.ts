// The daemon's side of the pairing protocol (docs/pairing.md, section 3). The mirror of device.ts.
//
// A handshake session lives in memory, belongs to one TLS channel and at most one pairing, and is used up by each step:
//   opened ──Exchange──> exchanged ──Confirm──> gone
// Open fixes the daemon's share and hello and commits to them, so the daemon's side does not depend on the device's
// messages. An unknown slot gets an ordinary session, with a random secret that nobody knows.

import { requestHash } from '../audit/audited-facts.ts';
import type { PresentAuthority } from '../authority/present-authority.ts';
import { checkP256Spki } from '../certificate/tls-key.ts';
import type { Clock } from '../clock.ts';
import type { PairingCrypto } from '../crypto/port.ts';
import { checkIdentityKey } from '../device/identity-key.ts';
import { IdentityError } from '../errors.ts';
import type { DeviceKind } from '../fleet/device.ts';
import type { DeviceCertificates } from '../fleet/issuing.ts';
import type { PairingLimits } from '../limits.ts';
import type { Registry } from '../registry/port.ts';
import { deviceRevoked } from '../registry/standing.ts';
import { slotKey } from './code.ts';
import { type AwaitUpdate, PairingCollection } from './collect.ts';
import { makeShare, scalarMultVfy } from './cpace.ts';
import type { PairingDesk } from './desk.ts';
import { endPairing, exhaust } from './endings.ts';
import { mustBeTakeable, takeGuess } from './guess.ts';
import { encodeDaemonHello, parseDeviceHello } from './hello.ts';
import type { PairingSealer } from './sealer.ts';
import { type PairingChannel, Sessions } from './sessions.ts';
import { isDue, type PairingRequest, step } from './state.ts';
import {
  COMMITMENT_NONCE_BYTES,
  channelIdentifier,
  commitmentTo,
  derivePairingKeys,
  identitySignatureInput,
  PAIRING_VERSION,
  tlsKeyProofInput,
} from './transcript.ts';

const dummySecretBytes = 6;

export interface OpenReply {
  readonly sessionId: Uint8Array;
  readonly rootCertificate: Uint8Array;
  readonly expiresAt: Date;
  readonly commitment: Uint8Array;
}

export interface ExchangeReply {
  readonly yb: Uint8Array;
  readonly daemonHello: Uint8Array;
  readonly daemonConfirmation: Uint8Array;
  /** Opens the commitment. */
  readonly nonce: Uint8Array;
}

export interface ConfirmReply {
  readonly requestId: string;
  readonly words: string;
}

export interface ResponderOptions {
  readonly registry: Registry;
  readonly crypto: PairingCrypto;
  readonly clock: Clock;
  readonly limits: PairingLimits;
  readonly sealer: PairingSealer;
  readonly desk: Pick<PairingDesk, 'approveByCode'>;
  readonly authority: PresentAuthority;
  readonly certificates: DeviceCertificates;
}

export class PairingResponder {
  readonly #options: ResponderOptions;
  readonly #sessions: Sessions;
  readonly #collection: PairingCollection;

  constructor(options: ResponderOptions) {
    this.#options = options;
    this.#sessions = new Sessions(options);
    this.#collection = new PairingCollection(options);
  }

  /** Commits to this side of the exchange. @throws VERSION_UNSUPPORTED, MESSAGE_INVALID, TOO_MANY_SESSIONS */
  async open(
    channel: PairingChannel,
    request: { version: number; slot: Uint8Array; kind: DeviceKind },
  ): Promise<OpenReply> {
    const { registry, crypto, clock, limits, authority, sealer } = this.#options;
    if (request.version !== PAIRING_VERSION) throw unsupported(request.version);
    const { kind } = request;
    const slot = slotKey(request.slot);
    if (!slot) throw new IdentityError('MESSAGE_INVALID', 'A slot is 3 digits or 16 bytes.');
    this.#sessions.dropOld();
    this.#sessions.mustHaveRoom();
    const pairing = await registry.waitingPairing(slot);
    const now = clock.now();
    const usable = pairing?.state === 'waiting' && pairing.guessesLeft > 0 && !isDue(pairing, now);
    const secret = usable
      ? await sealer.unseal(pairing.id, 'code', pairing.sealedSecret)
      : crypto.randomBytes(dummySecretBytes);
    const { rootCertificate, trustDomain } = authority.signing.ca;
    const sid = crypto.randomBytes(16);
    const ci = channelIdentifier(channel.channelBinding, await crypto.sha256(rootCertificate), kind);
    const { scalar, share: yb } = await makeShare(crypto, { prs: secret, ci, sid });
    const adB = encodeDaemonHello({ daemonId: authority.daemonId, trustDomain, time: now });
    const nonce = crypto.randomBytes(COMMITMENT_NONCE_BYTES);
    const commitment = await commitmentTo(crypto, { yb, adB, nonce });
    const expiresAt = new Date(now.getTime() + limits.sessionLifeMs);
    // Other sessions may have been opened in the meantime.
    this.#sessions.mustHaveRoom();
    this.#sessions.keep(sid, {
      step: 'opened',
      channelBinding: channel.channelBinding,
      kind,
      pairingId: usable ? pairing.id : undefined,
      expiresAtMs: expiresAt.getTime(),
      ...{ ci, sid, commitment, scalar, yb, adB, nonce },
    });
    return { sessionId: sid, rootCertificate, expiresAt, commitment };
  }

  /**
   * Takes one guess durably before the answer. A refused call takes none.
   * @throws SESSION_NOT_FOUND, MESSAGE_INVALID, DEVICE_ID_INVALID, KEY_IN_USE, TOO_MANY_REQUESTS
   */
  async exchange(
    channel: PairingChannel,
    request: { sessionId: Uint8Array; ya: Uint8Array; deviceHello: Uint8Array },
  ): Promise<ExchangeReply> {
    const { crypto } = this.#options;
    const session = this.#sessions.take(request.sessionId, channel, 'opened');
    using _inHand = this.#sessions.hold(session);
    const hello = parseDeviceHello(request.deviceHello);
    checkP256Spki(hello.tlsKey);
    checkIdentityKey(hello.identityKey);
    const { sid, scalar, yb, adB, nonce } = session;
    const agreed = await scalarMultVfy(crypto, scalar, request.ya);
    const guessesLeft = await takeGuess(this.#options, session.pairingId, hello);
    // The code ended after Open. The share is already sent, and the answer must not reveal whether the PIN is right.
    const k = guessesLeft !== undefined ? agreed : crypto.randomBytes(agreed.length);
    const exchange = { ya: request.ya, adA: request.deviceHello, yb, adB };
    const keys = await derivePairingKeys(crypto, session, k, exchange);
    const { channelBinding, kind, pairingId, expiresAtMs } = session;
    const base = { channelBinding, kind, pairingId, expiresAtMs };
    this.#sessions.keep(sid, { ...base, step: 'exchanged', hello, keys, guessesLeft });
    return { yb, daemonHello: adB, daemonConfirmation: keys.daemonConfirmation, nonce };
  }

  /**
   * The device proves the code and both keys. The code is then used up, and the operator is asked. If the operator's
   * list has filled up since Exchange, the code is not used up.
   * @throws SESSION_NOT_FOUND, PAIRING_CODE_WRONG, PAIRING_STATE_CONFLICT, PAIRING_EXPIRED, DEVICE_REVOKED, KEY_IN_USE,
   *   TOO_MANY_REQUESTS
   */
  async confirm(
    channel: PairingChannel,
    request: {
      sessionId: Uint8Array;
      deviceConfirmation: Uint8Array;
      identitySignature: Uint8Array;
      tlsKeyProof: Uint8Array;
    },
  ): Promise<ConfirmReply> {
    const { crypto, registry, clock, limits, sealer, desk } = this.#options;
    const session = this.#sessions.take(request.sessionId, channel, 'exchanged');
    using _inHand = this.#sessions.hold(session);
    const { hello, keys, pairingId, guessesLeft } = session;
    const proven =
      crypto.equal(request.deviceConfirmation, keys.deviceConfirmation) &&
      (await crypto.verifyEd25519(
        hello.identityKey,
        identitySignatureInput(keys.transcript),
        request.identitySignature,
      )) &&
      (await crypto.verifyP256(hello.tlsKey, tlsKeyProofInput(keys.transcript), request.tlsKeyProof));
    if (!proven || pairingId === undefined) {
      this.#sessions.release(session);
      if (pairingId !== undefined && !(await this.#mayConfirm(pairingId)))
        await exhaust(this.#options, pairingId);
      throw codeWrong();
    }
    const now = clock.now();
    const sealedAwaitKey = await sealer.seal(pairingId, 'await', keys.awaitKey);
    const refusal = await registry.transact(async (tx): Promise<IdentityError | undefined> => {
      const pairing = await tx.pairing(pairingId);
      if (!pairing) throw codeWrong();
      const known = await tx.device(hello.deviceId);
      await mustBeTakeable(tx, hello, limits);
      if (known?.state === 'revoked') {
        // The code was proven, so it is used up, although the request is refused.
        const reason = `device ${hello.deviceId} was revoked before`;
        await endPairing(tx, pairing, { type: 'withdraw', reason }, { at: now });
        return deviceRevoked(hello.deviceId, known.revocationReason);
      }
      const sameKey = known !== undefined && crypto.equal(known.identityKey, hello.identityKey);
      const pairingRequest: PairingRequest = {
        deviceId: hello.deviceId,
        identityKey: hello.identityKey,
        tlsKey: hello.tlsKey,
        name: hello.name,
        kind: session.kind,
        platform: hello.platform,
        words: keys.words,
        source: channel.source,
        continuity: known === undefined ? 'new' : sameKey ? 'known' : 'another_key',
        failedGuesses: pairing.guessesTaken - 1,
        sealedAwaitKey,
      };
      const expiresAt = new Date(now.getTime() + limits.requestLifeMs);
      const event = { type: 'confirm', request: pairingRequest, expiresAt } as const;
      const stored = await tx.replacePairing(pairing, step(pairing, event, now));
      await tx.appendAudit({
        at: now,
        action: 'request.received',
        subject: pairingId,
        detail: {
          device: hello.deviceId,
          source: channel.source,
          continuity: pairingRequest.continuity,
          request: requestHash(pairingRequest),
          // Names the guess that was right.
          ...(guessesLeft !== undefined && { guesses_left: guessesLeft }),
          expires_at: expiresAt.getTime(),
        },
      });
      // The code has decided, so the operator is not asked.
      if (!(await desk.approveByCode(tx, stored, now))) tx.emit({ type: 'pairing_changed', pairing: stored });
      return undefined;
    });
    if (refusal) throw refusal;
    return { requestId: pairingId, words: keys.words };
  }

  /** The request's states, until it has ended or its certificate is handed out. @throws as `PairingCollection.await` */
  await(
    channel: PairingChannel,
    request: { requestId: string; proof: Uint8Array },
    signal: AbortSignal,
  ): AsyncGenerator<AwaitUpdate> {
    return this.#collection.await(channel, request, signal);
  }

  /** Drops the sessions of a closed TLS channel, which cannot continue. */
  channelEnded(channel: PairingChannel): void {
    this.#sessions.channelEnded(channel);
  }

  /** Drops expired handshake sessions, and ends codes without a guess left. */
  async sweep(): Promise<void> {
    const { limits, registry } = this.#options;
    this.#sessions.dropOld();
    for (const { id, guessesLeft } of await registry.pairings({
      states: ['waiting'],
      limit: limits.liveCodes,
    })) {
      if (guessesLeft === 0 && !(await this.#mayConfirm(id))) await exhaust(this.#options, id);
    }
  }

  /** Whether a handshake with this code may still confirm, here or at another daemon, which tells nobody of it. */
  async #mayConfirm(pairingId: string): Promise<boolean> {
    if (this.#sessions.isLive(pairingId)) return true;
    const { registry, clock, limits } = this.#options;
    if (!registry.isShared) return false;
    const [last] = await registry.audit({ subject: pairingId, action: 'code.guessed', limit: 1 });
    return last !== undefined && Math.abs(clock.now().getTime() - last.atMs) < limits.sessionLifeMs;
  }
}

function unsupported(version: number): IdentityError {
  return new IdentityError(
    'VERSION_UNSUPPORTED',
    `This daemon speaks pairing protocol version ${PAIRING_VERSION}, not ${version}. Update the older of the two.`,
  );
}

function codeWrong(): IdentityError {
  return new IdentityError('PAIRING_CODE_WRONG', 'The pairing code is wrong or has ended.');
}
