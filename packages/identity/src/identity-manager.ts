// The front of the library: the few calls that a daemon needs. Each is one line of what its owner does.

import { isDeepStrictEqual } from 'node:util';
import { certificateFacts } from './audit/audited-facts.ts';
import { type AuthorityKeys, SecretStoreKeys } from './authority/authority-keys.ts';
import {
  type AuthorityStoreOptions,
  type LoadedAuthority,
  loadIssuing,
  openAuthority,
  overdue,
} from './authority/authority-store.ts';
import { type PublishedBundle, publishedBundle } from './authority/bundle-sequence.ts';
import { RevocationLists } from './authority/revocation-lists.ts';
import { RootRotation } from './authority/root-rotation.ts';
import { ChainJudge } from './certificate/chain-verdict.ts';
import { TlsKey } from './certificate/tls-key.ts';
import { type Clock, ClockWatch, presentTime, type RunningClock, systemClock } from './clock.ts';
import { nodeCrypto } from './crypto/node.ts';
import type { PairingCrypto } from './crypto/port.ts';
import { type DeviceId, parseDeviceId, type Ulid } from './device-id.ts';
import { hasCode, IdentityError } from './errors.ts';
import type { CertificateRecord } from './fleet/certificate-state.ts';
import { CloneWatch, type CloningPolicy } from './fleet/clones.ts';
import type { Device, DeviceRole } from './fleet/device.ts';
import { supersede } from './fleet/supersede.ts';
import { HostNames, recordHostNames } from './host-names.ts';
import { defaultPairingLimits, type PairingLimits } from './limits.ts';
import { PairingResponder } from './pairing/daemon.ts';
import { PairingDesk, recordRole, revokeAllCertificates } from './pairing/desk.ts';
import { parseDeviceName } from './pairing/name.ts';
import { PairingSealer } from './pairing/rest.ts';
import { step } from './pairing/state.ts';
import { KnownStandings } from './registry/known-standings.ts';
import type { Registry, RegistryEvent, RegistryTransaction } from './registry/port.ts';
import { deviceRevoked, judgeStanding, mustBeLetIn, standingMessages } from './registry/standing.ts';
import { type Actor, transactBy } from './registry/transact-by.ts';
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

/** A device that may call now. */
export interface AuthenticatedDevice {
  readonly deviceId: DeviceId;
  readonly name: string;
  readonly role: DeviceRole;
  /** Of the certificate that it showed. */
  readonly serial: string;
  readonly notAfterMs: number;
  /** When that is to be renewed. */
  readonly renewAtMs: number | undefined;
  /** The issuing CA of that, as in the registry. */
  readonly issuerId: Ulid;
}

/** What a TLS server presents. The key exists in memory only: every start makes a new one. */
export interface ServerCredential {
  readonly key: TlsKey;
  /** Leaf, then issuing CA; DER. */
  readonly certificateChain: readonly Uint8Array[];
  readonly notBefore: Date;
  readonly notAfter: Date;
}

/** A device's `lastSeenAt` is written at most this often, ms. */
const lastSeenStepMs = 10 * 60_000;

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
  readonly #clones: CloneWatch;
  readonly #hostNames: HostNames;
  readonly #standings: KnownStandings;
  readonly #options: AuthorityStoreOptions;
  #loaded: LoadedAuthority;
  #chainJudge: ChainJudge;
  #reloading: Promise<void> = Promise.resolve();
  #revocationEpoch = 0;

  /**
   * Opens the daemon's identity, making CA and trust domain at the first start.
   * @throws CLOCK_WRONG for a time that cannot be the present, and what the stores say.
   */
  static async open(options: IdentityManagerOptions): Promise<IdentityManager> {
    const crypto = options.crypto ?? nodeCrypto;
    const clock = options.clock ?? systemClock;
    // Before anything is made.
    presentTime(clock);
    const store: AuthorityStoreOptions = {
      secrets: options.secrets,
      keys: options.authorityKeys ?? new SecretStoreKeys(options.secrets),
      registry: options.registry,
      crypto,
      clock,
      clockWatch: new ClockWatch(clock),
      trustDomain: options.trustDomain,
    };
    const loaded = await openAuthority(store);
    const restKey = await readOrMake(options.secrets, 'pairing/rest-key', () => crypto.randomBytes(32));
    const limits = { ...defaultPairingLimits, ...options.limits };
    const sealer = new PairingSealer(crypto, restKey);
    const plan = await RenewalPlan.open({ ...store, lifeMs: limits.deviceCertificateLifeMs });
    return new IdentityManager(store, loaded, { limits, sealer, plan, cloning: options.cloning ?? 'report' });
  }

  private constructor(
    options: AuthorityStoreOptions,
    loaded: LoadedAuthority,
    parts: { limits: PairingLimits; sealer: PairingSealer; plan: RenewalPlan; cloning: CloningPolicy },
  ) {
    const { limits, sealer, plan, cloning } = parts;
    const { registry, clock, crypto } = options;
    this.#options = options;
    this.#loaded = loaded;
    this.#chainJudge = new ChainJudge(loaded.trustBundle, loaded.issuers);
    this.registry = registry;
    this.#standings = new KnownStandings(registry);
    this.authorityKeys = options.keys;
    this.clock = clock;
    this.limits = limits;
    this.#hostNames = new HostNames(loaded.trustDomain);
    const shared = { registry, clock, crypto, limits, sealer, plan, hostNames: this.#hostNames };
    this.desk = new PairingDesk({
      ...shared,
      rootFingerprint: () => this.#loaded.authority.rootFingerprint,
      checkKey: () => this.checkKey(),
    });
    const authority = () => this.#loaded.authority;
    const issuerId = () => this.#loaded.issuerId;
    const trustBundle = () => this.#loaded.trustBundle;
    this.rootRotation = new RootRotation(options, loaded.trustDomain);
    this.revocationLists = new RevocationLists(options, loaded.trustDomain);
    this.#clones = new CloneWatch({ ...shared, policy: cloning });
    this.renewals = new RenewalDesk({
      ...shared,
      authority,
      issuerId,
      trustBundle,
      clones: this.#clones,
    });
    this.responder = new PairingResponder({
      ...shared,
      desk: this.desk,
      authority,
      issuerId,
      trustBundle,
      daemonId: loaded.daemonId,
    });
    registry.enforce((event) => {
      if (!withoutRevocation.has(event.type)) this.#revocationEpoch += 1;
    });
  }

  /** Moves with every revocation, as soon as it is durable: while it stands still, the last check of a call holds. */
  get revocationEpoch(): number {
    return this.#revocationEpoch;
  }

  get daemonId(): Ulid {
    return this.#loaded.daemonId;
  }

  get trustDomain(): string {
    return this.#loaded.trustDomain;
  }

  /** SHA-256 of the root certificate, lower-case hex. */
  get rootFingerprint(): string {
    return this.#loaded.authority.rootFingerprint;
  }

  /** Roots that a peer's chain may lead to, DER. */
  get trustBundle(): readonly Uint8Array[] {
    return this.#loaded.trustBundle;
  }

  /** The roots with the number under which they are published. */
  publishedBundle(): Promise<PublishedBundle> {
    return publishedBundle(this.registry, this.clock);
  }

  /** Whose chains are ours, by the roots and issuing CAs that count at this moment. */
  get chainJudge(): ChainJudge {
    return this.#chainJudge;
  }

  /** Asks where the CA's keys are whether the one that issues certificates signs now. @throws why it does not. */
  checkKey(): Promise<void> {
    return this.#options.keys.check(this.#loaded.issuerId);
  }

  /** Why certificates may soon be made no more; undefined when the issuing CA is young enough. */
  issuerProblem(): IdentityError | undefined {
    return overdue(this.#loaded.issuerLife, this.clock.now());
  }

  /** A new key and daemon certificate for the listeners. */
  async issueServerCredential(names: {
    readonly dnsNames: readonly string[];
    readonly ipAddresses: readonly string[];
  }): Promise<ServerCredential> {
    const { registry, clock } = this.#options;
    const { authority, issuerId, daemonId } = this.#loaded;
    this.#hostNames.reserve(names.dnsNames);
    const key = TlsKey.generate();
    const issued = await authority.issueDaemon({ daemonId, tlsKey: key.publicKey, ...names });
    const now = clock.now();
    const certificate: CertificateRecord = {
      ...issued,
      subject: { kind: 'daemon', id: daemonId },
      state: 'active',
      issuerId,
      createdAt: now,
      recovered: false,
      renewAt: undefined,
    };
    await registry.transact(async (tx) => {
      await tx.insertCertificate(certificate);
      await tx.appendAudit({
        at: now,
        action: 'daemon.certificate_issued',
        subject: issued.serial,
        detail: certificateFacts(certificate),
      });
    });
    const certificateChain = [issued.der, authority.issuingCertificate];
    return { key, certificateChain, notBefore: issued.notBefore, notAfter: issued.notAfter };
  }

  /**
   * The check of every call: one indexed read, or none while the registry has not changed.
   * @param fingerprint SHA-256 of the peer certificate's DER, lower-case hex.
   * @throws the codes of `judgeStanding`.
   */
  async authenticate(fingerprint: string): Promise<AuthenticatedDevice> {
    const standing = this.#standings.known(fingerprint) ?? (await this.#standings.read(fingerprint));
    const verdict = judgeStanding(standing, this.clock.now().getTime());
    if (!verdict.ok) throw new IdentityError(verdict.code, standingMessages[verdict.code]);
    return verdict;
  }

  /**
   * The check of every connection: as `authenticate`, and the first accepted one makes the certificate active. One that
   * was replaced long ago is reported as a possible copy of the device.
   * @param source address that the connection comes from, for that report.
   */
  async admit(fingerprint: string, source = ''): Promise<AuthenticatedDevice> {
    const standing = await this.#standings.read(fingerprint);
    const verdict = judgeStanding(standing, this.clock.now().getTime());
    if (standing && !verdict.ok && verdict.code === 'CERTIFICATE_SUPERSEDED') {
      await unlessFull(this.#clones.sawReuse(standing, source));
    }
    if (!verdict.ok) throw new IdentityError(verdict.code, standingMessages[verdict.code]);
    if (verdict.firstUse) await this.#activate(verdict.deviceId, verdict.serial);
    else await this.#see(verdict.deviceId);
    return verdict;
  }

  /**
   * To be called when another agent of a device connects while the one that is connected answers: it is reported as a
   * possible copy of the device.
   * @param caller as `admit` let the other one in.
   * @param source address that it came from.
   */
  async sawSecondAgent(caller: AuthenticatedDevice, source: string): Promise<void> {
    await unlessFull(this.#clones.sawSecondAgent(caller, source));
  }

  /**
   * Shuts the device out for ever. Listeners close its connections when they hear of it.
   * @param actor who does it; a device must be an operator. Here and below.
   * @throws DEVICE_NOT_FOUND
   */
  async revokeDevice(id: string, reason: string, actor?: Actor): Promise<Device> {
    const now = this.clock.now();
    return transactBy(this, actor, async (tx, by) => {
      const device = await existingDevice(tx, id);
      if (device.state === 'revoked') return device;
      const revoked: Device = { ...device, state: 'revoked', revocationReason: reason };
      await tx.updateDevice(revoked);
      await tx.insertRevocation({ at: now, deviceId: device.id, serial: undefined, reason });
      await revokeAllCertificates(tx, device.id, reason, now);
      await tx.appendAudit({
        at: now,
        action: 'device.revoked',
        subject: device.id,
        detail: { reason, ...(by && { by }) },
      });
      tx.emit({ type: 'device_revoked', deviceId: device.id });
      return revoked;
    });
  }

  /**
   * Lets a device go on that waits for the operator: ends its quarantine, takes the warning of a possible copy off it,
   * and allows it the one recovery that it asked for. Whoever holds its identity key and comes first has that recovery.
   * A replaced certificate that led to a quarantine is reported when it comes again, but does not put it there a second
   * time.
   * @throws DEVICE_NOT_FOUND, DEVICE_REVOKED
   */
  async releaseDevice(id: string, actor?: Actor): Promise<Device> {
    const now = this.clock.now();
    return transactBy(this, actor, async (tx, by) => {
      const device = await existingDevice(tx, id);
      if (device.state === 'revoked') throw deviceRevoked(device.id);
      if (device.state !== 'quarantined' && !device.cloneSeenAt && !device.recoveryAskedAt) return device;
      const state = device.state === 'quarantined' ? 'active' : device.state;
      const released: Device = {
        ...device,
        state,
        cloneSeenAt: undefined,
        recoveryAskedAt: undefined,
        recoveryReleasedAt: device.recoveryAskedAt && now,
      };
      await tx.updateDevice(released);
      const detail = { ...(device.recoveryAskedAt && { recovery: 'allowed' }), ...(by && { by }) };
      await tx.appendAudit({ at: now, action: 'device.released', subject: device.id, detail });
      return released;
    });
  }

  /**
   * Ends one certificate of a device, and those that were never used: they may be in the same hands. From then on the
   * device recovers only with the operator's release. @throws CERTIFICATE_NOT_FOUND
   */
  async revokeCertificate(serial: string, reason: string, actor?: Actor): Promise<CertificateRecord> {
    const now = this.clock.now();
    return transactBy(this, actor, async (tx, by) => {
      const certificate = await tx.certificate({ serial });
      if (certificate?.subject.kind !== 'device') throw certificateNotFound(serial);
      if (certificate.state === 'revoked') return certificate;
      const device = await existingDevice(tx, certificate.subject.id);
      const { id: deviceId } = device;
      const unused = (await tx.livingCertificates(deviceId)).filter(({ state }) => state === 'issued');
      for (const each of [certificate, ...unused.filter((other) => other.serial !== serial)]) {
        await tx.moveCertificate(each.serial, each.state, 'revoked');
        await tx.insertRevocation({ at: now, deviceId, serial: each.serial, reason });
        await tx.appendAudit({
          at: now,
          action: 'certificate.revoked',
          subject: each.serial,
          detail: { device: deviceId, reason, ...(by && { by }) },
        });
        tx.emit({ type: 'certificate_revoked', serial: each.serial, deviceId });
      }
      await tx.updateDevice({ ...device, certificateRevokedAt: now, recoveryReleasedAt: undefined });
      return { ...certificate, state: 'revoked' };
    });
  }

  /** @throws DEVICE_NOT_FOUND, MESSAGE_INVALID */
  async renameDevice(id: string, name: string, actor?: Actor): Promise<Device> {
    const now = this.clock.now();
    const parsed = parseDeviceName(name);
    return transactBy(this, actor, async (tx, by) => {
      const device = { ...(await existingDevice(tx, id)), name: parsed };
      await tx.updateDevice(device);
      await tx.appendAudit({
        at: now,
        action: 'device.renamed',
        subject: id,
        detail: { name: parsed, ...(by && { by }) },
      });
      return device;
    });
  }

  /** Gives or takes the operator's rights, at once. @throws DEVICE_NOT_FOUND, DEVICE_REVOKED */
  async setDeviceRole(id: string, role: DeviceRole, actor?: Actor): Promise<Device> {
    const now = this.clock.now();
    return transactBy(this, actor, async (tx, by) => {
      const before = await existingDevice(tx, id);
      if (before.state === 'revoked') throw deviceRevoked(id);
      const device = { ...before, role };
      await tx.updateDevice(device);
      await recordRole(tx, device, before.role, now, by);
      return device;
    });
  }

  /**
   * The DNS names of its certificates from now on, in place of those that it has; a certificate from before keeps its own.
   * @throws DEVICE_NOT_FOUND, DEVICE_REVOKED, MESSAGE_INVALID
   */
  async setHostNames(id: string, names: readonly string[], actor?: Actor): Promise<Device> {
    const now = this.clock.now();
    const hostNames = this.#hostNames.parse(names);
    return transactBy(this, actor, async (tx, by) => {
      const before = await existingDevice(tx, id);
      if (before.state === 'revoked') throw deviceRevoked(id);
      const device = { ...before, hostNames };
      await tx.updateDevice(device);
      await recordHostNames(tx, device, before.hostNames, now, by);
      return device;
    });
  }

  /** What a device tells about itself; replaces what it told before. @throws MESSAGE_INVALID */
  async registerDevice(
    id: DeviceId,
    told: { platform: string; capabilities: readonly string[] },
  ): Promise<void> {
    const platform = parseDeviceName(told.platform, 'A platform');
    const capabilities = told.capabilities.map((each) => parseDeviceName(each, 'A capability'));
    if (capabilities.length > 64) {
      throw new IdentityError('MESSAGE_INVALID', 'A device registers at most 64 capabilities.');
    }
    await this.registry.transact(async (tx) => {
      const device = await existingDevice(tx, id);
      // A call that was let in before the device was shut out may come to this after it.
      mustBeLetIn(device);
      await tx.updateDevice({ ...device, platform, capabilities });
    });
  }

  /** What is due by the clock: expiries, sessions, the issuing CA. Call it about once a minute. */
  async tick(): Promise<void> {
    await this.desk.expireDue();
    await this.responder.sweep();
    await this.reloadAuthority();
    // So that a reader finds it numbered, and writes nothing.
    await this.publishedBundle();
  }

  /** Takes up what has changed among the authorities; makes the issuing CA that is due. */
  reloadAuthority(): Promise<void> {
    // One after the other: what was read first must not be put in place last.
    const reloaded = this.#reloading.then(async () => {
      const changed = await loadIssuing(this.#options, this.trustDomain);
      const before = this.#loaded;
      this.#loaded = { ...before, ...changed };
      if (!isDeepStrictEqual([before.trustBundle, before.issuers], [changed.trustBundle, changed.issuers]))
        this.#chainJudge = new ChainJudge(changed.trustBundle, changed.issuers);
    });
    // Whoever asked for it is told; who comes next only waits.
    this.#reloading = reloaded.catch(() => {});
    return reloaded;
  }

  async #activate(deviceId: DeviceId, serial: string): Promise<void> {
    const now = this.clock.now();
    await this.registry.transact(async (tx) => {
      const device = await existingDevice(tx, deviceId);
      // Shut out since, or lost to a simultaneous connection: the next check decides.
      if (device.state === 'revoked' || device.state === 'quarantined') return;
      if (!(await tx.moveCertificate(serial, 'issued', 'active'))) return;
      await tx.updateDevice({ ...device, state: 'active', lastSeenAt: now });
      await tx.appendAudit({
        at: now,
        action: 'certificate.activated',
        subject: serial,
        detail: { device: deviceId },
      });
      // Those that were never used as well: their answers were lost, or someone else has them.
      for (const other of await tx.livingCertificates(deviceId))
        if (other.serial !== serial) await supersede(tx, other, serial, now);
      const pairing = await tx.issuedPairing(serial);
      if (!pairing) return;
      const stored = await tx.replacePairing(pairing, step(pairing, { type: 'activate' }, now));
      tx.emit({ type: 'pairing_changed', pairing: stored });
    });
  }

  async #see(deviceId: DeviceId): Promise<void> {
    const now = this.clock.now();
    const device = await this.registry.device(deviceId);
    // In the future, too: the clock was set back, and "last seen" must not stand still until it is there again.
    const agoMs = now.getTime() - (device?.lastSeenAt?.getTime() ?? 0);
    if (!device || Math.abs(agoMs) < lastSeenStepMs) return;
    await unlessFull(
      this.registry.transact(async (tx) => {
        await tx.updateDevice({ ...(await existingDevice(tx, deviceId)), lastSeenAt: now });
      }),
    );
  }
}

/** What is told of a device that goes on as before. */
const withoutRevocation: ReadonlySet<RegistryEvent['type']> = new Set([
  'pairing_changed',
  'clone_suspected',
  'recovery_asked',
]);

/** A full disk is said by every change that matters; a paired device comes in, and a refused one is told, all the same. */
async function unlessFull(change: Promise<void>): Promise<void> {
  try {
    await change;
  } catch (error) {
    if (!hasCode(error, 'STORE_FULL')) throw error;
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

/** @throws DEVICE_NOT_FOUND, DEVICE_ID_INVALID */
async function existingDevice(tx: RegistryTransaction, id: string): Promise<Device> {
  const device = await tx.device(parseDeviceId(id));
  if (!device) {
    throw new IdentityError('DEVICE_NOT_FOUND', `There is no device ${id}. See: palyra devices list`);
  }
  return device;
}

function certificateNotFound(serial: string): IdentityError {
  return new IdentityError(
    'CERTIFICATE_NOT_FOUND',
    `No device certificate has the serial ${serial}. See: palyra devices show DEVICE`,
  );
}
