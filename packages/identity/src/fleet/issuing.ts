// A new certificate for a device. A signature may take long, so it is made before the change that stores the certificate, and
// that change checks again everything that the certificate depends on.

import type { PresentAuthority } from '../authority/present-authority.ts';
import type { Clock } from '../clock.ts';
import { IdentityError } from '../errors.ts';
import type { PairingLimits } from '../limits.ts';
import type { Registry, RegistryTransaction } from '../registry/port.ts';
import { mustBeLetIn } from '../registry/standing.ts';
import { type RenewalPlan, renewAfterMs } from '../renewal/plan.ts';
import { sameBytes } from '../same-bytes.ts';
import type { CertificateRecord } from './certificate-state.ts';
import { addCertificate, type CertificateOrigin } from './change.ts';
import type { AdmittedDevice, Device } from './device.ts';
import type { HostNames } from './host-names.ts';

/** How often a signature is made again because something changed during it. */
const maxTries = 10;

export interface DeviceCertificatesOptions {
  readonly registry: Registry;
  readonly clock: Clock;
  readonly limits: Pick<PairingLimits, 'deviceCertificateLifeMs'>;
  readonly authority: PresentAuthority;
  readonly plan: RenewalPlan;
  readonly hostNames: HostNames;
}

/** The objects for the change that stores the certificate. */
export interface Issue {
  readonly tx: RegistryTransaction;
  /** The device as it is now. */
  readonly device: AdmittedDevice;
  readonly certificate: Omit<CertificateRecord, 'state'>;
  readonly now: Date;
  /** Stores the certificate. Without it nothing is issued. @throws KEY_IN_USE */
  add(): Promise<void>;
}

/** A new certificate, in the form that a device receives. */
export interface IssuedReply {
  /** Leaf, then issuing CA; DER. */
  readonly certificateChain: readonly Uint8Array[];
  readonly trustBundle: readonly Uint8Array[];
  /** How long after its arrival the device is asked to renew the certificate, ms; 0: the device decides. */
  readonly renewAfterMs: number;
}

export class DeviceCertificates {
  readonly #options: DeviceCertificatesOptions;

  constructor(options: DeviceCertificatesOptions) {
    this.#options = options;
  }

  /**
   * @param proven the device that has proven its keys, as it was read before the signature.
   * @param tlsKey SPKI DER.
   * @param gone the error when the device no longer exists or has another identity key.
   * @param grant decides in the change itself, and calls `add` when the certificate is granted.
   * @throws DEVICE_REVOKED, DEVICE_QUARANTINED, ROTATION_CONFLICT, and what `grant` throws.
   */
  async issue<Granted>(
    proven: Pick<Device, 'id' | 'identityKey' | 'hostNames'>,
    tlsKey: Uint8Array,
    origin: Extract<CertificateOrigin, { type: 'pairing' | 'renewal' | 'recovery' }>,
    gone: () => IdentityError,
    grant: (issue: Issue) => Promise<Granted>,
    triesLeft = maxTries,
  ): Promise<{ readonly granted: Granted; readonly reply: IssuedReply }> {
    const { registry, clock, limits, authority, plan, hostNames } = this.#options;
    const dnsNames = hostNames.of(proven);
    const { states, trustBundle } = authority;
    const { ca, issuerId } = authority.signing;
    const made = await ca.issueDevice({
      deviceId: proven.id,
      tlsKey,
      dnsNames,
      lifeMs: limits.deviceCertificateLifeMs,
    });
    const now = clock.now();
    // Planned before it is stored, so that a simultaneous renewal chooses another time.
    const renewAt = plan.add(now, made.notAfter);
    const certificate = {
      ...made,
      subject: { kind: 'device', id: proven.id },
      issuerId,
      createdAt: now,
      recovered: origin.type === 'recovery',
      renewAt,
    } as const;
    let isStored = false;
    let changed: Device | undefined;
    let isOutdated = false;
    try {
      const granted = await registry.transact(async (tx) => {
        const device = await tx.device(proven.id);
        if (device) mustBeLetIn(device);
        // Another key may have taken over the id since the proof. Then the old key gets no certificate.
        if (!device || !sameBytes(device.identityKey, proven.identityKey)) throw gone();
        // Another daemon may have changed the authorities. A device that is handed an older trust bundle would count as
        // one that knows the present roots.
        if ((await tx.authorityStates()) !== states) {
          isOutdated = true;
          return undefined;
        }
        // The operator took or gave a name meanwhile.
        if (hostNames.of(device).join() !== dnsNames.join()) {
          changed = device;
          return undefined;
        }
        const add = async () => {
          await addCertificate(tx, certificate, origin, now);
          isStored = true;
        };
        return { value: await grant({ tx, device, certificate, now, add }) };
      });
      if (granted) {
        const reply = {
          certificateChain: [made.der, ca.issuingCertificate],
          trustBundle,
          renewAfterMs: renewAfterMs(renewAt?.getTime(), now.getTime()),
        };
        return { granted: granted.value, reply };
      }
    } catch (error) {
      isStored = false;
      throw error;
    } finally {
      if (!isStored) plan.remove(renewAt);
    }
    if (isOutdated) await authority.refresh();
    if (triesLeft === 0) throw changesTooOften();
    return this.issue(changed ?? proven, tlsKey, origin, gone, grant, triesLeft - 1);
  }
}

function changesTooOften(): IdentityError {
  return new IdentityError(
    'ROTATION_CONFLICT',
    'The authorities or the names of the device keep changing. Try again.',
  );
}
