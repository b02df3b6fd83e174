// The changes of a device after its approval, each as one change of the registry.

import type { Clock } from '../clock.ts';
import { type DeviceId, parseDeviceId } from '../device-id.ts';
import { IdentityError } from '../errors.ts';
import { movePairing } from '../pairing/change.ts';
import { parseDeviceName } from '../pairing/name.ts';
import type { Actor } from '../registry/actor.ts';
import type { Registry, RegistryTransaction } from '../registry/port.ts';
import { transactBy } from '../registry/transact-by.ts';
import type { CertificateRecord } from './certificate-state.ts';
import { changeCertificate, changeDevice } from './change.ts';
import { type Device, type DeviceRole, deviceNotFound, isShutOut } from './device.ts';
import type { DeviceEvent } from './device-state.ts';
import type { HostNames } from './host-names.ts';
import { parseLabels } from './labels.ts';

/** Most capabilities of one device. */
const maxCapabilities = 64;
/** Most devices that one change revokes. */
const maxRevokedTogether = 500;
/** Shortest time between two writes of a device's `lastSeenAt`, ms. */
const lastSeenStepMs = 10 * 60_000;

export interface FleetOptions {
  readonly registry: Registry;
  readonly clock: Clock;
  readonly hostNames: HostNames;
}

/** Replaces a device's description of itself. */
export interface SelfDescription {
  readonly platform: string;
  readonly capabilities: readonly string[];
}

export class Fleet {
  readonly #options: FleetOptions;

  constructor(options: FleetOptions) {
    this.#options = options;
  }

  // Changes by the operator. `actor` makes the change; a device must be an operator. Each throws DEVICE_NOT_FOUND.

  /** Revokes the device permanently. The event makes listeners close its connections. */
  revoke(id: string, reason: string, actor?: Actor): Promise<Device> {
    return this.#change(id, { type: 'revoke', reason }, actor);
  }

  /**
   * Revokes several devices, all or none. Those that were revoked before stay as they are.
   * @returns the devices, in the order of the ids.
   * @throws DEVICE_NOT_FOUND, DEVICE_ID_INVALID, MESSAGE_INVALID for none or too many
   */
  async revokeTogether(ids: readonly string[], reason: string, actor?: Actor): Promise<Device[]> {
    const distinct = [...new Set(ids.map(parseDeviceId))];
    if (distinct.length === 0 || distinct.length > maxRevokedTogether) {
      throw new IdentityError(
        'MESSAGE_INVALID',
        `From 1 to ${maxRevokedTogether} devices can be revoked together, not ${distinct.length}.`,
      );
    }
    const at = this.#options.clock.now();
    return transactBy(this.#options, actor, async (tx, by) => {
      const revoked: Device[] = [];
      for (const id of distinct)
        revoked.push(
          await changeDevice(tx, await existingDevice(tx, id), { type: 'revoke', reason }, { at, by }),
        );
      return revoked;
    });
  }

  /**
   * Releases a device that waits for the operator: ends its quarantine, clears the warning of a possible copy, and
   * allows the one recovery that the device asked for. The first caller with the device's identity key gets that
   * recovery. A replaced certificate that led to a quarantine is reported when it turns up again, but does not
   * quarantine the device a second time.
   * @throws DEVICE_REVOKED
   */
  release(id: string, actor?: Actor): Promise<Device> {
    return this.#change(id, { type: 'release' }, actor);
  }

  /** @throws MESSAGE_INVALID */
  async rename(id: string, name: string, actor?: Actor): Promise<Device> {
    return this.#change(id, { type: 'rename', name: parseDeviceName(name) }, actor);
  }

  /** Grants or removes the operator role at once. @throws DEVICE_REVOKED */
  setRole(id: string, role: DeviceRole, actor?: Actor): Promise<Device> {
    return this.#change(id, { type: 'set_role', role }, actor);
  }

  /**
   * Replaces the DNS names of the device's certificates. Certificates that exist already keep theirs.
   * @throws DEVICE_REVOKED, MESSAGE_INVALID
   */
  async setHostNames(id: string, names: readonly string[], actor?: Actor): Promise<Device> {
    const hostNames = this.#options.hostNames.parse(names);
    return this.#change(id, { type: 'set_host_names', hostNames }, actor);
  }

  /** Replaces the labels. @throws DEVICE_REVOKED, MESSAGE_INVALID */
  async setLabels(id: string, labels: readonly string[], actor?: Actor): Promise<Device> {
    return this.#change(id, { type: 'set_labels', labels: parseLabels(labels) }, actor);
  }

  /**
   * Revokes one certificate of a device, and those that were never used, because the same person may have them. From
   * then on the device recovers only with the operator's release. @throws CERTIFICATE_NOT_FOUND
   */
  async revokeCertificate(serial: string, reason: string, actor?: Actor): Promise<CertificateRecord> {
    const at = this.#options.clock.now();
    return transactBy(this.#options, actor, async (tx, by) => {
      const certificate = await tx.certificate({ serial });
      if (certificate?.subject.kind !== 'device') throw certificateNotFound(serial);
      if (certificate.state === 'revoked') return certificate;
      const device = await existingDevice(tx, certificate.subject.id);
      const living = await tx.livingCertificates(device.id);
      const unused = living.filter((each) => each.state === 'issued' && each.serial !== serial);
      for (const each of [certificate, ...unused])
        await changeCertificate(tx, each, { type: 'revoke', reason }, { at, by });
      await changeDevice(tx, device, { type: 'lose_certificate' }, { at, by });
      return { ...certificate, state: 'revoked' };
    });
  }

  // Changes by the device.

  /**
   * Replaces a device's description of itself.
   * @throws DEVICE_NOT_FOUND, MESSAGE_INVALID; DEVICE_REVOKED and DEVICE_QUARANTINED when the device was shut out after
   *   its call was let in.
   */
  async register(id: DeviceId, said: SelfDescription): Promise<void> {
    const platform = parseDeviceName(said.platform, 'A platform');
    const capabilities = said.capabilities.map((each) => parseDeviceName(each, 'A capability'));
    if (capabilities.length > maxCapabilities) {
      throw new IdentityError(
        'MESSAGE_INVALID',
        `A device registers at most ${maxCapabilities} capabilities.`,
      );
    }
    await this.#change(id, { type: 'register', platform, capabilities });
  }

  /** Activates a certificate at its first connection: every other one is superseded, and its pairing is complete. */
  async activate(id: DeviceId, serial: string): Promise<void> {
    const { registry, clock } = this.#options;
    const at = clock.now();
    await registry.transact(async (tx) => {
      const device = await existingDevice(tx, id);
      // The device was shut out, or another connection came first. The next check decides.
      if (isShutOut(device)) return;
      const certificate = { serial, state: 'issued', subject: { kind: 'device', id } } as const;
      if (!(await changeCertificate(tx, certificate, { type: 'use' }, { at }))) return;
      await changeDevice(tx, device, { type: 'use' }, { at });
      // Also certificates that were never used: their answers were lost, or somebody else has them.
      for (const other of await tx.livingCertificates(id))
        if (other.serial !== serial)
          await changeCertificate(tx, other, { type: 'supersede', by: serial }, { at });
      const pairing = await tx.issuedPairing(serial);
      if (pairing) await movePairing(tx, pairing, { type: 'activate' }, at);
    });
  }

  /** Records the contact of the device, unless that was done a moment ago. */
  async see(id: DeviceId): Promise<void> {
    const { registry, clock } = this.#options;
    const at = clock.now();
    const device = await registry.device(id);
    // A time in the future counts as old: the clock was set back, and "last seen" must not stand still until then.
    const agoMs = at.getTime() - (device?.lastSeenAt?.getTime() ?? 0);
    if (!device || Math.abs(agoMs) < lastSeenStepMs) return;
    await registry.transact(async (tx) => {
      const present = await existingDevice(tx, id);
      if (!isShutOut(present)) await changeDevice(tx, present, { type: 'see' }, { at });
    });
  }

  #change(id: string, event: DeviceEvent, actor?: Actor): Promise<Device> {
    const at = this.#options.clock.now();
    return transactBy(this.#options, actor, async (tx, by) =>
      changeDevice(tx, await existingDevice(tx, id), event, { at, by }),
    );
  }
}

/** @throws DEVICE_NOT_FOUND, DEVICE_ID_INVALID */
async function existingDevice(tx: RegistryTransaction, id: string): Promise<Device> {
  const device = await tx.device(parseDeviceId(id));
  if (!device) throw deviceNotFound(id);
  return device;
}

function certificateNotFound(serial: string): IdentityError {
  return new IdentityError('CERTIFICATE_NOT_FOUND', `No device certificate has the serial ${serial}.`);
}
