// The daemon's side of the pairing protocol (docs/pairing.md, section 3). The mirror of device.ts.
//
// A handshake session lives in memory, belongs to one TLS channel and at most one pairing, and is used up by each step:
//   opened ──Exchange──> exchanged ──Confirm──> gone
// Open fixes the daemon's share and hello and commits to them, so nothing of the daemon's side follows from what the
// device sends. An unknown slot gets a session like any other, with a random secret that nobody knows.

import { bytesToHex } from '@noble/curves/utils.js';
import { certificateFacts, requestHash } from '../audit/audited-facts.ts';
import type { CertificateAuthority } from '../certificate/authority.ts';
import { keySha256 } from '../certificate/issue.ts';
import { checkP256Spki } from '../certificate/tls-key.ts';
import type { Clock } from '../clock.ts';
import type { PairingCrypto } from '../crypto/port.ts';
import { checkIdentityKey } from '../device/identity-key.ts';
import type { Ulid } from '../device-id.ts';
import type { EndpointLists } from '../endpoint-lists.ts';
import { IdentityError } from '../errors.ts';
import type { CertificateRecord } from '../fleet/certificate-state.ts';
import type { DeviceKind } from '../fleet/device.ts';
import type { HostNames } from '../host-names.ts';
import type { PairingLimits } from '../limits.ts';
import type { Registry, RegistryTransaction } from '../registry/port.ts';
import { deviceRevoked, judgeStanding, mustBeLetIn, standingMessages } from '../registry/standing.ts';
import { type RenewalPlan, renewAfterMs } from '../renewal/plan.ts';
import { slotKey } from './code.ts';
import { makeShare, scalarMultVfy } from './cpace.ts';
import type { PairingDesk } from './desk.ts';
import { type DeviceHello, encodeDaemonHello, parseDeviceHello } from './hello.ts';
import { parseDeviceKind } from './name.ts';
import type { PairingSealer } from './rest.ts';
import { isDue, type Pairing, type PairingRequest, step } from './state.ts';
import {
  awaitProofInput,
  COMMITMENT_NONCE_BYTES,
  channelIdentifier,
  commitmentTo,
  derivePairingKeys,
  identitySignatureInput,
  PAIRING_VERSION,
  type PairingKeys,
  type PairingSession,
  tlsKeyProofInput,
} from './transcript.ts';

const dummySecretBytes = 6;

/** The TLS channel a call came in on. */
export interface PairingChannel {
  /** TLS exporter `EXPORTER-Channel-Binding`, 32 bytes (RFC 9266). */
  readonly channelBinding: Uint8Array;
  /** The peer's address without the port, for the operator. */
  readonly source: string;
}

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

/** One state of a request, as the device is told. */
export interface AwaitUpdate {
  readonly state: Pairing['state'];
  readonly expiresAt: Date | undefined;
  readonly reason: string | undefined;
  /** Leaf, then issuing CA; empty until issued. */
  readonly certificateChain: readonly Uint8Array[];
  readonly trustBundle: readonly Uint8Array[];
  /** Where the node listener is, on the same host; set by the server that carries the call. */
  readonly nodePort?: number | undefined;
  /** Where the same services are over QUIC, if they are. */
  readonly quicPort?: number | undefined;
  /** Where devices reach the daemon, if it says so; set as the ports are. */
  readonly endpoints?: EndpointLists | undefined;
  /** How long after its arrival the certificate is best renewed, ms; 0 or absent: whenever. */
  readonly renewAfterMs?: number;
}

interface SessionBase {
  readonly channelBinding: Uint8Array;
  readonly kind: DeviceKind;
  /** Undefined for a dummy. */
  readonly pairingId: string | undefined;
  readonly expiresAtMs: number;
}
type Session = SessionBase &
  (
    | ({ readonly step: 'opened' } & Opened)
    | { readonly step: 'exchanged'; readonly hello: DeviceHello; readonly keys: PairingKeys }
  );

/** The daemon's side of the exchange, fixed before the device's is known. */
interface Opened extends PairingSession {
  readonly scalar: Uint8Array;
  readonly yb: Uint8Array;
  readonly adB: Uint8Array;
  readonly nonce: Uint8Array;
}

export interface ResponderOptions {
  readonly hostNames: HostNames;
  readonly registry: Registry;
  readonly crypto: PairingCrypto;
  readonly clock: Clock;
  readonly limits: PairingLimits;
  readonly sealer: PairingSealer;
  readonly desk: PairingDesk;
  /** The CA that signs now; asked each time, since it rotates. */
  readonly authority: () => CertificateAuthority;
  /** Roots that devices are to trust, DER. */
  readonly trustBundle: () => readonly Uint8Array[];
  readonly issuerId: () => Ulid;
  readonly plan: RenewalPlan;
  readonly daemonId: Ulid;
}

export class PairingResponder {
  readonly #options: ResponderOptions;
  /** By session id, hex; in order of opening, so the oldest are first. */
  readonly #sessions = new Map<string, Session>();
  /** Taken out by an Exchange or Confirm that has not answered yet. */
  readonly #inHand = new Set<Session>();

  constructor(options: ResponderOptions) {
    this.#options = options;
  }

  /** Commits to this side of the exchange. @throws VERSION_UNSUPPORTED, MESSAGE_INVALID, TOO_MANY_SESSIONS */
  async open(
    channel: PairingChannel,
    request: { version: number; slot: Uint8Array; kind: string },
  ): Promise<OpenReply> {
    const { registry, crypto, clock, limits, authority, sealer } = this.#options;
    if (request.version !== PAIRING_VERSION) throw unsupported(request.version);
    const kind = parseDeviceKind(request.kind);
    const slot = slotKey(request.slot);
    if (!slot) throw new IdentityError('MESSAGE_INVALID', 'A slot is 3 digits or 16 bytes.');
    this.#dropSessions();
    this.#mustHaveRoom();
    const pairing = await registry.waitingPairing(slot);
    const now = clock.now();
    const usable = pairing?.state === 'waiting' && pairing.guessesLeft > 0 && !isDue(pairing, now);
    const secret = usable
      ? await sealer.unseal(pairing.id, 'code', pairing.sealedSecret)
      : crypto.randomBytes(dummySecretBytes);
    const { rootCertificate, trustDomain } = authority();
    const sid = crypto.randomBytes(16);
    const ci = channelIdentifier(channel.channelBinding, await crypto.sha256(rootCertificate), kind);
    const { scalar, share: yb } = await makeShare(crypto, { prs: secret, ci, sid });
    const adB = encodeDaemonHello({ daemonId: this.#options.daemonId, trustDomain, time: now });
    const nonce = crypto.randomBytes(COMMITMENT_NONCE_BYTES);
    const commitment = await commitmentTo(crypto, { yb, adB, nonce });
    const expiresAt = new Date(now.getTime() + limits.sessionLifeMs);
    // Others may have come while this one was made.
    this.#mustHaveRoom();
    this.#sessions.set(bytesToHex(sid), {
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
   * Takes one guess, durably, before it answers. A call that is refused has taken none.
   * @throws SESSION_NOT_FOUND, MESSAGE_INVALID, DEVICE_ID_INVALID, KEY_IN_USE, TOO_MANY_REQUESTS
   */
  async exchange(
    channel: PairingChannel,
    request: { sessionId: Uint8Array; ya: Uint8Array; deviceHello: Uint8Array },
  ): Promise<ExchangeReply> {
    const { crypto } = this.#options;
    // Taken out at once: a second Exchange on the same session, even a simultaneous one, finds nothing.
    const session = this.#take(request.sessionId, channel, 'opened');
    using _inHand = this.#hold(session);
    const hello = parseDeviceHello(request.deviceHello);
    checkP256Spki(hello.tlsKey);
    checkIdentityKey(hello.identityKey);
    const { sid, scalar, yb, adB, nonce } = session;
    const agreed = await scalarMultVfy(crypto, scalar, request.ya);
    const taken = await this.#takeGuess(session.pairingId, hello);
    // Used up or over since Open: the share is out already, and what follows from it must not tell whether the PIN is right.
    const k = taken ? agreed : crypto.randomBytes(agreed.length);
    const exchange = { ya: request.ya, adA: request.deviceHello, yb, adB };
    const keys = await derivePairingKeys(crypto, session, k, exchange);
    const { channelBinding, kind, pairingId, expiresAtMs } = session;
    const base = { channelBinding, kind, pairingId, expiresAtMs };
    this.#sessions.set(bytesToHex(sid), { ...base, step: 'exchanged', hello, keys });
    return { yb, daemonHello: adB, daemonConfirmation: keys.daemonConfirmation, nonce };
  }

  /**
   * The device has proven the code and both keys: the code is spent, the operator is asked. Where the operator's list has
   * filled up since Exchange, the code is not spent.
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
    const session = this.#take(request.sessionId, channel, 'exchanged');
    using _inHand = this.#hold(session);
    const { hello, keys, pairingId } = session;
    const proven =
      crypto.equal(request.deviceConfirmation, keys.deviceConfirmation) &&
      (await crypto.verifyEd25519(
        hello.identityKey,
        identitySignatureInput(keys.transcript),
        request.identitySignature,
      )) &&
      (await crypto.verifyP256(hello.tlsKey, tlsKeyProofInput(keys.transcript), request.tlsKeyProof));
    if (!proven || pairingId === undefined) {
      this.#inHand.delete(session);
      if (pairingId !== undefined && !this.#isLive(pairingId)) await desk.exhaust(pairingId);
      throw codeWrong();
    }
    const now = clock.now();
    const sealedAwaitKey = await sealer.seal(pairingId, 'await', keys.awaitKey);
    const refusal = await registry.transact(async (tx): Promise<IdentityError | undefined> => {
      const pairing = await tx.pairing(pairingId);
      if (!pairing) throw codeWrong();
      const known = await tx.device(hello.deviceId);
      await mustBeFree(tx, hello);
      await this.#mustHaveRoomForRequest(tx);
      if (known?.state === 'revoked') {
        // Proven is proven: the code is spent, though the request is not taken.
        await desk.withdrawIn(tx, pairing, `device ${hello.deviceId} was revoked before`, now);
        return deviceRevoked(hello.deviceId);
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
      const stored = await tx.replacePairing(
        pairing,
        step(pairing, { type: 'confirm', request: pairingRequest, expiresAt }, now),
      );
      await tx.appendAudit({
        at: now,
        action: 'request.received',
        subject: pairingId,
        detail: {
          device: hello.deviceId,
          source: channel.source,
          continuity: pairingRequest.continuity,
          request: requestHash(pairingRequest),
          expires_at: expiresAt.getTime(),
        },
      });
      if (!(await desk.approveByCode(tx, stored, now))) tx.emit({ type: 'pairing_changed', pairing: stored });
      return undefined;
    });
    if (refusal) throw refusal;
    return { requestId: pairingId, words: keys.words };
  }

  /**
   * The request's states until it has ended or its certificate is handed out. Can be called again at any time, on any
   * channel, by who holds the await key.
   * @throws PAIRING_NOT_FOUND for an unknown request and for a wrong proof alike; the codes of `judgeStanding` where the
   *   certificate does not hold any more; IDENTITY_KEY_CHANGED.
   */
  async *await(
    channel: PairingChannel,
    request: { requestId: string; proof: Uint8Array },
    signal: AbortSignal,
  ): AsyncGenerator<AwaitUpdate> {
    const { registry } = this.#options;
    let pairing = await this.#proveRequest(channel, request);
    let wake: () => void = () => {};
    let changed = false;
    const notify = () => {
      changed = true;
      wake();
    };
    const unsubscribe = registry.subscribe((event) => {
      if (event.type === 'pairing_changed' && event.pairing.id === request.requestId) notify();
    });
    signal.addEventListener('abort', notify);
    try {
      // What happened between the proof and the subscription.
      pairing = (await registry.pairing(request.requestId)) ?? pairing;
      while (!signal.aborted) {
        changed = false;
        if (pairing.state === 'approved') pairing = await this.#issue(pairing);
        yield await this.#update(pairing);
        if (pairing.state !== 'pending_approval' && pairing.state !== 'approved') return;
        if (!changed)
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
        pairing = (await registry.pairing(request.requestId)) ?? pairing;
      }
    } finally {
      unsubscribe();
      signal.removeEventListener('abort', notify);
    }
  }

  /** Its TLS channel has ended, so its sessions cannot go on: they make room. */
  channelEnded({ channelBinding }: PairingChannel): void {
    for (const [id, session] of this.#sessions) {
      if (this.#options.crypto.equal(session.channelBinding, channelBinding)) this.#sessions.delete(id);
    }
  }

  /** Drops handshake sessions whose time is over, and ends codes that are left without a guess. */
  async sweep(): Promise<void> {
    const { limits, registry, desk } = this.#options;
    this.#dropSessions();
    for (const { id, guessesLeft } of await registry.pairings({
      states: ['waiting'],
      limit: limits.liveCodes,
    })) {
      if (guessesLeft === 0 && !this.#isLive(id)) await desk.exhaust(id);
    }
  }

  #dropSessions(): void {
    const { clock, limits } = this.#options;
    const nowMs = clock.now().getTime();
    for (const [id, session] of this.#sessions) {
      // A clock set back must not keep a session alive for longer than its life.
      const life = session.expiresAtMs - nowMs;
      if (life <= 0 || life > limits.sessionLifeMs) this.#sessions.delete(id);
    }
  }

  #take<S extends Session['step']>(
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
        'This pairing session is unknown, over or already used. Start again with the same code.',
      );
    }
    this.#sessions.delete(key);
    return session as Extract<Session, { step: S }>;
  }

  /**
   * A guess at a real code is a row; one at no code costs the same durable write and leaves one counter.
   * @returns whether the code could still take it.
   */
  async #takeGuess(pairingId: string | undefined, hello: DeviceHello): Promise<boolean> {
    const { registry, clock } = this.#options;
    const now = clock.now();
    return registry.transact(async (tx) => {
      await mustBeFree(tx, hello);
      await this.#mustHaveRoomForRequest(tx);
      const pairing = pairingId === undefined ? undefined : await tx.pairing(pairingId);
      if (pairing?.state !== 'waiting' || pairing.guessesLeft === 0 || isDue(pairing, now)) {
        const count = Number((await tx.setting('guesses_without_code')) ?? '0');
        await tx.putSetting('guesses_without_code', String(count + 1));
        return false;
      }
      const next = await tx.replacePairing(pairing, step(pairing, { type: 'guess' }, now));
      await tx.appendAudit({
        at: now,
        action: 'code.guessed',
        subject: pairing.id,
        detail: { left: next.guessesLeft },
      });
      tx.emit({ type: 'pairing_changed', pairing: next });
      return true;
    });
  }

  #mustHaveRoom(): void {
    const { limits } = this.#options;
    if (this.#sessions.size + this.#inHand.size >= limits.sessions)
      throw tooManySessions(limits.sessionLifeMs);
  }

  async #mustHaveRoomForRequest(tx: RegistryTransaction): Promise<void> {
    const { pendingRequests } = await tx.counts();
    if (pendingRequests >= this.#options.limits.pendingRequests) throw tooManyRequests();
  }

  /** A code must not end under a call that is at work on its last guess. */
  #hold(session: Session): Disposable {
    this.#inHand.add(session);
    return { [Symbol.dispose]: () => this.#inHand.delete(session) };
  }

  #isLive(pairingId: string): boolean {
    const sessions = [...this.#sessions.values(), ...this.#inHand];
    return sessions.some((session) => session.pairingId === pairingId);
  }

  async #proveRequest(
    channel: PairingChannel,
    request: { requestId: string; proof: Uint8Array },
  ): Promise<Pairing> {
    const { registry, crypto, sealer } = this.#options;
    const pairing = await registry.pairing(request.requestId);
    if (pairing && 'request' in pairing && pairing.request) {
      const key = await sealer.unseal(pairing.id, 'await', pairing.request.sealedAwaitKey);
      const expected = await crypto.hmacSha256(key, awaitProofInput(pairing.id, channel.channelBinding));
      if (crypto.equal(expected, request.proof)) return pairing;
    }
    throw new IdentityError(
      'PAIRING_NOT_FOUND',
      'There is no such request. Pair again with a new code from the operator.',
    );
  }

  /** Two Awaits at one time may both come here; one of them stores, the other finds it stored. */
  async #issue(approved: Extract<Pairing, { state: 'approved' }>): Promise<Pairing> {
    const { registry, crypto, clock, limits, authority, issuerId, plan, hostNames } = this.#options;
    const { deviceId, tlsKey } = approved.request;
    const present = await registry.device(deviceId);
    const dnsNames = present ? hostNames.of(present) : [];
    // Together: a new issuing CA may come while this one signs, and the chain is built from what is stored here.
    const [ca, caId] = [authority(), issuerId()];
    const lifeMs = limits.deviceCertificateLifeMs;
    const issued = await ca.issueDevice({ deviceId, tlsKey, dnsNames, lifeMs });
    const now = clock.now();
    const stored = await registry.transact(async (tx) => {
      const pairing = (await tx.pairing(approved.id)) ?? approved;
      if (pairing.state !== 'approved') return pairing;
      const device = await tx.device(deviceId);
      if (device) mustBeLetIn(device);
      // Another key may have taken the id over since the approval; the old one gets nothing any more.
      const sameKey = device && crypto.equal(device.identityKey, approved.request.identityKey);
      if (!sameKey) throw identityKeyReplaced(deviceId);
      // The operator took or gave a name meanwhile.
      if (hostNames.of(device).join() !== dnsNames.join()) return undefined;
      const next = step(pairing, { type: 'issue', serial: issued.serial, expiresAt: issued.notAfter }, now);
      const certificate: CertificateRecord = {
        ...issued,
        subject: { kind: 'device', id: deviceId },
        state: 'issued',
        issuerId: caId,
        createdAt: now,
        recovered: false,
        renewAt: plan.add(now, issued.notAfter),
      };
      await tx.insertCertificate(certificate);
      const stored = await tx.replacePairing(pairing, next);
      await tx.appendAudit({
        at: now,
        action: 'certificate.issued',
        subject: issued.serial,
        detail: { ...certificateFacts(certificate), pairing: pairing.id },
      });
      tx.emit({ type: 'pairing_changed', pairing: stored });
      return stored;
    });
    return stored ?? this.#issue(approved);
  }

  /** @throws what the holder of a certificate that does not hold any more is told. */
  async #update(pairing: Pairing): Promise<AwaitUpdate> {
    const { registry, trustBundle, clock } = this.#options;
    const certificate =
      'serial' in pairing ? await registry.certificate({ serial: pairing.serial }) : undefined;
    const issuer =
      certificate && (await registry.authorities()).find((each) => each.id === certificate.issuerId);
    if (certificate) {
      const standing = await registry.standing(certificate.fingerprint);
      const verdict = judgeStanding(standing, clock.now().getTime());
      if (!verdict.ok) throw new IdentityError(verdict.code, standingMessages[verdict.code]);
    }
    return {
      state: pairing.state,
      expiresAt: 'expiresAt' in pairing ? pairing.expiresAt : undefined,
      reason: pairing.state === 'rejected' ? pairing.reason : undefined,
      certificateChain: certificate && issuer ? [certificate.der, issuer.der] : [],
      trustBundle: certificate ? trustBundle() : [],
      renewAfterMs: renewAfterMs(certificate?.renewAt?.getTime(), clock.now().getTime()),
    };
  }
}

/** @throws KEY_IN_USE */
async function mustBeFree(tx: RegistryTransaction, hello: DeviceHello): Promise<void> {
  const key = await tx.keyInUse({ ...hello, tlsKeySha256: keySha256(hello.tlsKey) });
  if (key === undefined) return;
  throw new IdentityError(
    'KEY_IN_USE',
    key === 'identity'
      ? 'Another device has this identity key. Make a new identity on this one: palyra pair ADDRESS --new-identity'
      : 'This TLS key was used before. A pairing takes a new one.',
  );
}

function unsupported(version: number): IdentityError {
  return new IdentityError(
    'VERSION_UNSUPPORTED',
    `This daemon speaks pairing protocol version ${PAIRING_VERSION}, not ${version}. Update the older of the two.`,
  );
}

function tooManyRequests(): IdentityError {
  return new IdentityError(
    'TOO_MANY_REQUESTS',
    'Too many requests wait for the operator. When some are decided, pair again with the same code.',
    { retryAfterMs: 60_000 },
  );
}

function tooManySessions(retryAfterMs: number): IdentityError {
  return new IdentityError('TOO_MANY_SESSIONS', 'Too many pairings are under way.', {
    retryAfterMs,
  });
}

function identityKeyReplaced(id: string): IdentityError {
  return new IdentityError(
    'IDENTITY_KEY_CHANGED',
    `The operator has since approved another identity key for device ${id}. Pair again with a new code.`,
  );
}

function codeWrong(): IdentityError {
  return new IdentityError(
    'PAIRING_CODE_WRONG',
    'The pairing code is wrong or over. Ask the operator for a new one.',
  );
}
