// The front of the library: the few calls that a daemon needs. Each is one line of what its owner does.

import { type AuthorityKeys, SecretStoreKeys } from './authority/authority-keys.ts';
import { type PublishedBundle, publishedBundle } from './authority/bundle-sequence.ts';
import type { AuthorityStoreOptions } from './authority/new-authority.ts';
import { PresentAuthority } from './authority/present-authority.ts';
import { RevocationLists } from './authority/revocation-lists.ts';
import { RootRotation } from './authority/root-rotation.ts';
import {
  issueServerCredential,
  type ServerCredential,
  type ServerNames,
} from './authority/server-credential.ts';
import type { ChainJudge } from './certificate/chain-verdict.ts';
import { type Clock, ClockWatch, presentTime, type RunningClock, systemClock } from './clock.ts';
import { nodeCrypto } from './crypto/node.ts';
import type { PairingCrypto } from './crypto/port.ts';
import type { DeviceId, Ulid } from './device-id.ts';
import { hasCode, type IdentityError } from './errors.ts';
import { Admission, type AuthenticatedDevice } from './fleet/admission.ts';
import type { CertificateRecord } from './fleet/certificate-state.ts';
import { CloneWatch, type CloningPolicy } from './fleet/clones.ts';
import type { Device, DeviceRole } from './fleet/device.ts';
import { Fleet, type SelfDescription } from './fleet/fleet.ts';
import { HostNames } from './fleet/host-names.ts';
import { DeviceCertificates } from './fleet/issuing.ts';
import { Recovery } from './fleet/recovery.ts';
import { defaultPairingLimits, type PairingLimits } from './limits.ts';
import { PairingResponder } from './pairing/daemon.ts';
import { PairingDesk } from './pairing/desk.ts';
import { expireDue } from './pairing/endings.ts';
import { PairingSealer } from './pairing/rest.ts';
import type { Registry } from './registry/port.ts';
import type { Actor } from './registry/transact-by.ts';
import { RenewalDesk } from './renewal/daemon.ts';
import { RenewalPlan } from './renewal/plan.ts';
import type { SecretStore } from './secret-store/port.ts';

export interface IdentityManagerOptions {
  /** Where private keys are kept. */
  readonly secrets: SecretStore;
  /** Where devices, certificates and the audit are kept. */
  readonly registry: Registry;
  /** Where the CA's keys are. Fixed at the first start. Default: `secrets`. */
  readonly authorityKeys?: AuthorityKeys;
  /** Default: made at first start as `palyra-<10 base32 characters>.internal`. Fixed from then on. */
  readonly trustDomain?: string;
  /** Default: docs/limits.md. */
  readonly limits?: Partial<PairingLimits>;
  /** What a device that may have been copied comes to. Default: it is reported. */
  readonly cloning?: CloningPolicy;
  /** Default: the system's. */
  readonly clock?: RunningClock;
  /** Default: node:crypto. */
  readonly crypto?: PairingCrypto;
}

interface Parts {
  readonly store: AuthorityStoreOptions;
  readonly authority: PresentAuthority;
  readonly limits: PairingLimits;
  readonly sealer: PairingSealer;
  readonly plan: RenewalPlan;
  readonly cloning: CloningPolicy;
}

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
  readonly #authority: PresentAuthority;
  readonly #hostNames: HostNames;
  readonly #fleet: Fleet;
  readonly #admission: Admission;

  /**
   * Opens the daemon's identity, making CA and trust domain at the first start.
   * @throws CLOCK_WRONG for a time that cannot be the present, and what the stores say.
   */
  static async open(options: IdentityManagerOptions): Promise<IdentityManager> {
    const { secrets, registry, crypto = nodeCrypto, clock = systemClock, cloning = 'report' } = options;
    // Before anything is made.
    presentTime(clock);
    const keys = options.authorityKeys ?? new SecretStoreKeys(secrets);
    const clockWatch = new ClockWatch(clock);
    const store = { secrets, keys, registry, crypto, clock, clockWatch, trustDomain: options.trustDomain };
    const authority = await PresentAuthority.open(store);
    const restKey = await readOrMake(secrets, 'pairing/rest-key', () => crypto.randomBytes(32));
    const limits = { ...defaultPairingLimits, ...options.limits };
    const sealer = new PairingSealer(crypto, restKey);
    const plan = await RenewalPlan.open({ ...store, lifeMs: limits.deviceCertificateLifeMs });
    return new IdentityManager({ store, authority, limits, sealer, plan, cloning });
  }

  private constructor({ store, authority, limits, sealer, plan, cloning }: Parts) {
    const { registry, clock, crypto } = store;
    const { trustDomain } = authority;
    this.registry = registry;
    this.clock = clock;
    this.limits = limits;
    this.authorityKeys = store.keys;
    this.#authority = authority;
    this.#hostNames = new HostNames(trustDomain);
    this.rootRotation = new RootRotation(store, trustDomain);
    this.revocationLists = new RevocationLists(store, trustDomain);
    const shared = { registry, clock, crypto, limits, sealer, plan, authority, hostNames: this.#hostNames };
    const certificates = new DeviceCertificates(shared);
    const clones = new CloneWatch({ ...shared, policy: cloning });
    const recovery = new Recovery({ ...shared, clones });
    this.#fleet = new Fleet(shared);
    this.#admission = new Admission({ registry, clock, clones, fleet: this.#fleet });
    this.desk = new PairingDesk(shared);
    this.responder = new PairingResponder({ ...shared, desk: this.desk, certificates });
    this.renewals = new RenewalDesk({ ...shared, certificates, recovery });
  }

  // Who we are.

  get daemonId(): Ulid {
    return this.#authority.daemonId;
  }

  get trustDomain(): string {
    return this.#authority.trustDomain;
  }

  /** SHA-256 of the root certificate, lower-case hex. */
  get rootFingerprint(): string {
    return this.#authority.rootFingerprint;
  }

  /** Roots that a peer's chain may lead to, DER. */
  get trustBundle(): readonly Uint8Array[] {
    return this.#authority.trustBundle;
  }

  /** The roots with the number under which they are published. */
  publishedBundle(): Promise<PublishedBundle> {
    return publishedBundle(this.registry, this.clock);
  }

  /** Whose chains are ours, by the roots and issuing CAs that count at this moment. */
  get chainJudge(): ChainJudge {
    return this.#authority.chainJudge;
  }

  /** Asks where the CA's keys are whether the one that issues certificates signs now. @throws why it does not. */
  checkKey(): Promise<void> {
    return this.#authority.checkKey();
  }

  /** Why certificates may soon be made no more; undefined when the issuing CA is young enough. */
  issuerProblem(): IdentityError | undefined {
    return this.#authority.problem();
  }

  /** Takes up what has changed among the authorities; makes the issuing CA that is due. */
  reloadAuthority(): Promise<void> {
    return this.#authority.reload();
  }

  /** A new key and daemon certificate for the listeners. */
  issueServerCredential(names: ServerNames): Promise<ServerCredential> {
    const { registry, clock } = this;
    const [authority, hostNames] = [this.#authority, this.#hostNames];
    return issueServerCredential({ registry, clock, authority, hostNames }, names);
  }

  // Who may come in.

  /** Moves with every revocation, as soon as it is durable: while it stands still, the last check of a call holds. */
  get revocationEpoch(): number {
    return this.#admission.revocationEpoch;
  }

  /**
   * The check of every call: one indexed read, or none while the registry has not changed.
   * @param fingerprint SHA-256 of the peer certificate's DER, lower-case hex.
   * @throws the codes of `judgeStanding`.
   */
  authenticate(fingerprint: string): Promise<AuthenticatedDevice> {
    return this.#admission.authenticate(fingerprint);
  }

  /**
   * The check of every connection: as `authenticate`, and the first accepted one makes the certificate active. One that
   * was replaced long ago is reported as a possible copy of the device.
   * @param source address that the connection comes from, for that report.
   */
  admit(fingerprint: string, source = ''): Promise<AuthenticatedDevice> {
    return this.#admission.admit(fingerprint, source);
  }

  /**
   * To be called when another agent of a device connects while the one that is connected answers: it is reported as a
   * possible copy of the device.
   * @param caller as `admit` let the other one in.
   * @param source address that it came from.
   */
  sawSecondAgent(caller: AuthenticatedDevice, source: string): Promise<void> {
    return this.#admission.sawSecondAgent(caller, source);
  }

  // What an operator does; `actor` is who it is. What each means and throws is written in fleet/fleet.ts.

  revokeDevice(id: string, reason: string, actor?: Actor): Promise<Device> {
    return this.#fleet.revoke(id, reason, actor);
  }

  releaseDevice(id: string, actor?: Actor): Promise<Device> {
    return this.#fleet.release(id, actor);
  }

  revokeCertificate(serial: string, reason: string, actor?: Actor): Promise<CertificateRecord> {
    return this.#fleet.revokeCertificate(serial, reason, actor);
  }

  renameDevice(id: string, name: string, actor?: Actor): Promise<Device> {
    return this.#fleet.rename(id, name, actor);
  }

  setDeviceRole(id: string, role: DeviceRole, actor?: Actor): Promise<Device> {
    return this.#fleet.setRole(id, role, actor);
  }

  setHostNames(id: string, names: readonly string[], actor?: Actor): Promise<Device> {
    return this.#fleet.setHostNames(id, names, actor);
  }

  // What a device does, and what time does.

  /** What a device says about itself. @throws as `Fleet.register` */
  registerDevice(id: DeviceId, said: SelfDescription): Promise<void> {
    return this.#fleet.register(id, said);
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

async function readOrMake(secrets: SecretStore, name: string, make: () => Uint8Array): Promise<Uint8Array> {
  try {
    return await secrets.read(name);
  } catch (error) {
    if (!hasCode(error, 'SECRET_NOT_FOUND')) throw error;
  }
  const made = make();
  await secrets.write(name, made);
  return made;
}
