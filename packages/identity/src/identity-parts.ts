// The parts of an IdentityManager. `openParts` creates them in order of dependency.

import { type AuthorityKeys, SecretStoreKeys } from './authority/authority-keys.ts';
import { PresentAuthority } from './authority/present-authority.ts';
import { RevocationLists } from './authority/revocation-lists.ts';
import { RootRotation } from './authority/root-rotation.ts';
import { type Clock, ClockWatch, presentTime, type RunningClock, systemClock } from './clock.ts';
import { nodeCrypto } from './crypto/node.ts';
import type { PairingCrypto } from './crypto/port.ts';
import { Admission } from './fleet/admission.ts';
import { CloneWatch, type CloningPolicy } from './fleet/clones.ts';
import { Fleet } from './fleet/fleet.ts';
import { HostNames } from './fleet/host-names.ts';
import { DeviceCertificates } from './fleet/issuing.ts';
import { Recovery } from './fleet/recovery.ts';
import { defaultPairingLimits, type PairingLimits } from './limits.ts';
import { PairingResponder } from './pairing/daemon.ts';
import { PairingDesk } from './pairing/desk.ts';
import { PairingSealer } from './pairing/sealer.ts';
import type { Registry } from './registry/port.ts';
import { RenewalRequests } from './renewal/ask.ts';
import { RenewalDesk } from './renewal/daemon.ts';
import { RenewalPlan } from './renewal/plan.ts';
import type { SharedSecretStore } from './secret-store/port.ts';

export interface IdentityManagerOptions {
  /** The store for private keys. */
  readonly secrets: SharedSecretStore;
  /** The store for devices, certificates and the audit log. */
  readonly registry: Registry;
  /** The store for the CA keys. Fixed at the first start. Default: `secrets`. */
  readonly authorityKeys?: AuthorityKeys;
  /** Fixed at the first start. Default: a random `palyra-<10 base32 characters>.internal`. */
  readonly trustDomain?: string;
  /** Defaults: docs/limits.md. */
  readonly limits?: Partial<PairingLimits>;
  /** The action for a device that may have been copied. Default: report the device. */
  readonly cloning?: CloningPolicy;
  /** Default: the system clock. */
  readonly clock?: RunningClock;
  /** Default: node:crypto. */
  readonly crypto?: PairingCrypto;
}

export interface IdentityParts {
  readonly registry: Registry;
  readonly clock: Clock;
  readonly limits: PairingLimits;
  readonly authorityKeys: AuthorityKeys;
  readonly authority: PresentAuthority;
  readonly rootRotation: RootRotation;
  readonly revocationLists: RevocationLists;
  readonly hostNames: HostNames;
  readonly fleet: Fleet;
  readonly admission: Admission;
  readonly desk: PairingDesk;
  readonly responder: PairingResponder;
  readonly renewals: RenewalDesk;
  readonly renewalRequests: RenewalRequests;
}

/** @throws as `IdentityManager.open` */
export async function openParts(options: IdentityManagerOptions): Promise<IdentityParts> {
  const { secrets, registry, crypto = nodeCrypto, clock = systemClock } = options;
  // Checked before anything is created.
  presentTime(clock);
  const authorityKeys = options.authorityKeys ?? new SecretStoreKeys(secrets);
  const store = {
    secrets,
    keys: authorityKeys,
    registry,
    crypto,
    clock,
    clockWatch: new ClockWatch(clock),
    trustDomain: options.trustDomain,
  };
  const authority = await PresentAuthority.open(store);
  const restKey = await secrets.writeNew('pairing/rest-key', crypto.randomBytes(32));
  const limits = { ...defaultPairingLimits, ...options.limits };
  const plan = await RenewalPlan.open({ ...store, lifeMs: limits.deviceCertificateLifeMs });
  const sealer = new PairingSealer(crypto, restKey);
  const { trustDomain } = authority;
  const hostNames = new HostNames(trustDomain);
  const shared = { registry, clock, crypto, limits, sealer, plan, authority, hostNames };
  const certificates = new DeviceCertificates(shared);
  const clones = new CloneWatch({ ...shared, policy: options.cloning ?? 'report' });
  const fleet = new Fleet(shared);
  const desk = new PairingDesk(shared);
  return {
    registry,
    clock,
    limits,
    authorityKeys,
    authority,
    rootRotation: new RootRotation(store, trustDomain),
    revocationLists: new RevocationLists(store, trustDomain),
    hostNames,
    fleet,
    admission: new Admission({ registry, clock, fleet, clones }),
    desk,
    responder: new PairingResponder({ ...shared, desk, certificates }),
    renewalRequests: new RenewalRequests(shared),
    renewals: new RenewalDesk({ ...shared, certificates, recovery: new Recovery({ ...shared, clones }) }),
  };
}
