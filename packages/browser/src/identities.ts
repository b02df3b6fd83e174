// The identities of a device. All daemons know the first one, except a daemon that the device was paired with again as a new
// device: that daemon knows a separate identity, and the other daemons notice nothing.

import {
  type DeviceCrypto,
  DeviceIdentity,
  dropSecret,
  type Enrollment,
  loadEnrollments,
  makeUlid,
  type SecretStore,
  systemClock,
} from '@palyra/identity/device-portable';
import { unusedKeptMs } from './web-crypto.ts';

/** Followed by the id, a ULID: it begins with the time. */
const prefix = 'identities/';

export class Identities {
  /** The identity with which the device asks to be paired. */
  readonly first: DeviceIdentity;
  /** Whether it was created just now. */
  readonly isNew: boolean;
  readonly #records: SecretStore;

  private constructor(records: SecretStore, first: DeviceIdentity, isNew: boolean) {
    this.#records = records;
    this.first = first;
    this.isNew = isNew;
  }

  static async open(records: SecretStore, crypto: DeviceCrypto): Promise<Identities> {
    const isNew = !(await records.list()).includes('device/identity');
    return new Identities(records, await DeviceIdentity.open(records, crypto, systemClock), isNew);
  }

  /** The identity that this daemon knows. @throws SECRET_NOT_FOUND, SECRET_CORRUPT */
  async of({ deviceId }: Enrollment): Promise<DeviceIdentity> {
    const { id, crypto } = this.first;
    return deviceId === id ? this.first : DeviceIdentity.load(this.#records, crypto, prefix + deviceId);
  }

  /** Makes a further identity, in memory only. */
  create(): Promise<DeviceIdentity> {
    return DeviceIdentity.create(this.first.crypto, systemClock);
  }

  async keep(identity: DeviceIdentity): Promise<void> {
    if (identity !== this.first) await identity.store(this.#records, prefix + identity.id);
  }

  /**
   * Deletes identities that no record names and no running pairing can need any more.
   * @returns the public keys of the remaining identities, including the first one.
   */
  async dropUnused(): Promise<Uint8Array[]> {
    const named = new Set((await loadEnrollments(this.#records)).map(({ deviceId }) => prefix + deviceId));
    const used = [this.first.publicKey];
    const oldest = makeUlid(new Date(Date.now() - unusedKeptMs), new Uint8Array(10));
    for (const name of await this.#records.list(prefix)) {
      if (named.has(name))
        used.push((await DeviceIdentity.load(this.#records, this.first.crypto, name)).publicKey);
      else if (name < prefix + oldest) await dropSecret(this.#records, name);
    }
    return used;
  }
}
