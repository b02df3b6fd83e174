// The front of the library: the calls that a daemon needs.

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
import { OperatorPasskeys } from './operator/passkeys.ts';
import type { PairingResponder } from './pairing/daemon.ts';
import type { PairingDesk } from './pairing/desk.ts';
import { expireDue } from './pairing/endings.ts';
import type { Actor } from './registry/actor.ts';
import type { Registry } from './registry/port.ts';
import type { AskedToRenew, DevicesToRenew } from './renewal/ask.ts';
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
  /** The location of the CA keys. */
  readonly authorityKeys: AuthorityKeys;
  /** Revocation lists, for programs that verify devices without asking the registry. */
  readonly revocationLists: RevocationLists;
  /** The passkeys with which the operator confirms acts in the console. */
  readonly passkeys: OperatorPasskeys;
  readonly #parts: IdentityParts;

  /**
   * Opens the daemon's identity. The first start creates the CA and the trust domain.
   * @throws CLOCK_WRONG for a time that cannot be the present, and the errors of the stores.
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
    this.passkeys = new OperatorPasskeys(parts);
    this.#parts = parts;
  }

  // The daemon's own identity.

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

  /** The roots for peers' chains, DER. */
  get trustBundle(): readonly Uint8Array[] {
    return this.#parts.authority.trustBundle;
  }

  /** The published roots, with their sequence number. */
  publishedBundle(): Promise<PublishedBundle> {
    return publishedBundle(this.registry, this.clock);
  }

  /** Judges chains by the present roots and issuing CAs. */
  get chainJudge(): ChainJudge {
    return this.#parts.authority.chainJudge;
  }

  /** Checks that the key of the issuing CA can sign now. @throws the reason why it cannot. */
  checkKey(): Promise<void> {
    return this.#parts.authority.checkKey();
  }

  /** The reason why issuing may soon stop; undefined if the issuing CA is young enough. */
  issuerProblem(): IdentityError | undefined {
    return this.#parts.authority.problem();
  }

  /** Loads changes of the authorities, and makes an issuing CA if one is due. */
  reloadAuthority(): Promise<void> {
    return this.#parts.authority.reload();
  }

  /** Makes a key and a daemon certificate for the listeners. */
  issueServerCredential(names: ServerNames): Promise<ServerCredential> {
    return issueServerCredential(this.#parts, names);
  }

  /** Adds DNS names of other daemons of the fleet: no device may have them. */
  reserveNames(names: readonly string[]): void {
    this.#parts.hostNames.reserve(names);
  }

  // Authentication of peers.

  /**
   * Resolves when `revocationEpoch` counts every revocation that was acknowledged before this call, by whatever daemon.
   * Undefined if this process makes every change: then it does already.
   */
  upToDate(): Promise<void> | undefined {
    return this.registry.upToDate();
  }

  /** Increases with every durable revocation. While it does not change, the last check of a call stays valid. */
  get revocationEpoch(): number {
    return this.#parts.admission.revocationEpoch;
  }

  /**
   * Authenticates every call, with one indexed read, or none while the registry has not changed.
   * @param fingerprint SHA-256 of the peer certificate's DER, lower-case hex.
   * @throws the codes of `judgeStanding`.
   */
  authenticate(fingerprint: string): Promise<AuthenticatedDevice> {
    return this.#parts.admission.authenticate(fingerprint);
  }

  /**
   * Authenticates every connection: like `authenticate`, and the first accepted connection activates the certificate. A
   * certificate that was replaced long ago is reported as a possible copy of the device.
   * @param source address of the peer, for that report.
   */
  admit(fingerprint: string, source = ''): Promise<AuthenticatedDevice> {
    return this.#parts.admission.admit(fingerprint, source);
  }

  /**
   * Checks the certificate of another daemon that shares this registry.
   * @throws the codes of `mustBeDaemon`.
   */
  authenticateDaemon(fingerprint: string): Promise<void> {
    return this.#parts.admission.authenticateDaemon(fingerprint);
  }

  /**
   * Call it when a second agent of a device connects while the first one still answers. It is reported as a possible
   * copy of the device.
   * @param caller the second agent, as returned by `admit`.
   * @param source address of the second agent.
   */
  sawSecondAgent(caller: AuthenticatedDevice, source: string): Promise<void> {
    return this.#parts.admission.sawSecondAgent(caller, source);
  }

  // Actions of an operator, the `actor`. fleet/fleet.ts documents their meaning and errors.

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

  setDeviceLabels(id: string, labels: readonly string[], actor?: Actor): Promise<Device> {
    return this.#parts.fleet.setLabels(id, labels, actor);
  }

  /** @throws as `Fleet.revokeTogether` */
  revokeDevices(ids: readonly string[], reason: string, actor?: Actor): Promise<Device[]> {
    return this.#parts.fleet.revokeTogether(ids, reason, actor);
  }

  /** Asks devices to renew before their planned time. @throws as `RenewalRequests.ask` */
  askToRenew(wanted: DevicesToRenew, withinMs: number, actor?: Actor): Promise<AskedToRenew> {
    return this.#parts.renewalRequests.ask(wanted, withinMs, actor);
  }

  // Actions of a device, and of time.

  /** Replaces a device's description of itself. @throws as `Fleet.register` */
  registerDevice(id: DeviceId, said: SelfDescription): Promise<void> {
    return this.#parts.fleet.register(id, said);
  }

  /** Does the work due by the clock: expiries, sessions, the issuing CA. Call it about once a minute. */
  async tick(): Promise<void> {
    await expireDue(this);
    await this.responder.sweep();
    await this.reloadAuthority();
    // Numbers the bundle here, so that readers do not have to write.
    await this.publishedBundle();
  }
}
