// The front of the library: the few calls that a daemon needs. Each is one line of what its owner does.

import type { AuthorityKeys } from './authority/authority-keys.ts';
import { type PublishedBundle, publishedBundle } from './authority/bundle-sequence.ts';
import type { RevocationLists } from './authority/revocation-lists.ts';
import type { RootRotation } from './authority/root-rotation.ts';
import {
  issueServerCredential,
  type ServerCredential,
  type ServerNames,
} from './authority/server-credential.ts';
import type { ChainJudge } from './certificate/chain-verdict.ts';
import type { Clock } from './clock.ts';
import type { DeviceId, Ulid } from './device-id.ts';
import type { IdentityError } from './errors.ts';
import type { AuthenticatedDevice } from './fleet/admission.ts';
import type { CertificateRecord } from './fleet/certificate-state.ts';
import type { Device, DeviceRole } from './fleet/device.ts';
import type { SelfDescription } from './fleet/fleet.ts';
import { type IdentityManagerOptions, type IdentityParts, openParts } from './identity-parts.ts';
import type { PairingLimits } from './limits.ts';
import type { PairingResponder } from './pairing/daemon.ts';
import type { PairingDesk } from './pairing/desk.ts';
import { expireDue } from './pairing/endings.ts';
import type { Actor } from './registry/actor.ts';
import type { Registry } from './registry/port.ts';
import type { RenewalDesk } from './renewal/daemon.ts';

export class IdentityManager {
  readonly registry: Registry;
  readonly clock: Clock;
  readonly limits: PairingLimits;
  /** The operator's side of pairing. */
  readonly desk: PairingDesk;
  /** The protocol's side of pairing. */
  readonly responder: PairingResponder;
  /** New certificates for devices that are paired. */
  readonly renewals: RenewalDesk;
  /** Steps to a new root; call `reloadAuthority` after each. */
  readonly rootRotation: RootRotation;
  /** Where the CA's keys are. */
  readonly authorityKeys: AuthorityKeys;
  /** For programs that verify devices without asking the registry. */
  readonly revocationLists: RevocationLists;
  readonly #parts: IdentityParts;

  /**
   * Opens the daemon's identity, making CA and trust domain at the first start.
   * @throws CLOCK_WRONG for a time that cannot be the present, and what the stores say.
   */
  static async open(options: IdentityManagerOptions): Promise<IdentityManager> {
    return new IdentityManager(await openParts(options));
  }

  private constructor(parts: IdentityParts) {
    this.registry = parts.registry;
    this.clock = parts.clock;
    this.limits = parts.limits;
    this.desk = parts.desk;
    this.responder = parts.responder;
    this.renewals = parts.renewals;
    this.rootRotation = parts.rootRotation;
    this.authorityKeys = parts.authorityKeys;
    this.revocationLists = parts.revocationLists;
    this.#parts = parts;
  }

  // Who we are.

  get daemonId(): Ulid {
    return this.#parts.authority.daemonId;
  }

  get trustDomain(): string {
    return this.#parts.authority.trustDomain;
  }

  /** SHA-256 of the root certificate, lower-case hex. */
  get rootFingerprint(): string {
    return this.#parts.authority.rootFingerprint;
  }

  /** Roots that a peer's chain may lead to, DER. */
  get trustBundle(): readonly Uint8Array[] {
    return this.#parts.authority.trustBundle;
  }

  /** The roots with the number under which they are published. */
  publishedBundle(): Promise<PublishedBundle> {
    return publishedBundle(this.registry, this.clock);
  }

  /** Whose chains are ours, by the roots and issuing CAs that count at this moment. */
  get chainJudge(): ChainJudge {
    return this.#parts.authority.chainJudge;
  }

  /** Asks where the CA's keys are whether the one that issues certificates signs now. @throws why it does not. */
  checkKey(): Promise<void> {
    return this.#parts.authority.checkKey();
  }

  /** Why certificates may soon be made no more; undefined when the issuing CA is young enough. */
  issuerProblem(): IdentityError | undefined {
    return this.#parts.authority.problem();
  }

  /** Takes up what has changed among the authorities; makes the issuing CA that is due. */
  reloadAuthority(): Promise<void> {
    return this.#parts.authority.reload();
  }

  /** A new key and daemon certificate for the listeners. */
  issueServerCredential(names: ServerNames): Promise<ServerCredential> {
    return issueServerCredential(this.#parts, names);
  }

  // Who may come in.

  /** Moves with every revocation, as soon as it is durable: while it stands still, the last check of a call holds. */
  get revocationEpoch(): number {
    return this.#parts.admission.revocationEpoch;
  }

  /**
   * The check of every call: one indexed read, or none while the registry has not changed.
   * @param fingerprint SHA-256 of the peer certificate's DER, lower-case hex.
   * @throws the codes of `judgeStanding`.
   */
  authenticate(fingerprint: string): Promise<AuthenticatedDevice> {
    return this.#parts.admission.authenticate(fingerprint);
  }

  /**
   * The check of every connection: as `authenticate`, and the first accepted one makes the certificate active. One that
   * was replaced long ago is reported as a possible copy of the device.
   * @param source address that the connection comes from, for that report.
   */
  admit(fingerprint: string, source = ''): Promise<AuthenticatedDevice> {
    return this.#parts.admission.admit(fingerprint, source);
  }

  /**
   * To be called when another agent of a device connects while the one that is connected answers: it is reported as a
   * possible copy of the device.
   * @param caller as `admit` let the other one in.
   * @param source address that it came from.
   */
  sawSecondAgent(caller: AuthenticatedDevice, source: string): Promise<void> {
    return this.#parts.admission.sawSecondAgent(caller, source);
  }

  // What an operator does; `actor` is who it is. What each means and throws is written in fleet/fleet.ts.

  revokeDevice(id: string, reason: string, actor?: Actor): Promise<Device> {
    return this.#parts.fleet.revoke(id, reason, actor);
  }

  releaseDevice(id: string, actor?: Actor): Promise<Device> {
    return this.#parts.fleet.release(id, actor);
  }

  revokeCertificate(serial: string, reason: string, actor?: Actor): Promise<CertificateRecord> {
    return this.#parts.fleet.revokeCertificate(serial, reason, actor);
  }

  renameDevice(id: string, name: string, actor?: Actor): Promise<Device> {
    return this.#parts.fleet.rename(id, name, actor);
  }

  setDeviceRole(id: string, role: DeviceRole, actor?: Actor): Promise<Device> {
    return this.#parts.fleet.setRole(id, role, actor);
  }

  setHostNames(id: string, names: readonly string[], actor?: Actor): Promise<Device> {
    return this.#parts.fleet.setHostNames(id, names, actor);
  }

  // What a device does, and what time does.

  /** What a device says about itself. @throws as `Fleet.register` */
  registerDevice(id: DeviceId, said: SelfDescription): Promise<void> {
    return this.#parts.fleet.register(id, said);
  }

  /** What is due by the clock: expiries, sessions, the issuing CA. Call it about once a minute. */
  async tick(): Promise<void> {
    await expireDue(this);
    await this.responder.sweep();
    await this.reloadAuthority();
    // So that a reader finds it numbered, and writes nothing.
    await this.publishedBundle();
  }
}
