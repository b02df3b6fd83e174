// The identity of a device or daemon: an Ed25519 key pair and a ULID, created once on its own machine.

import { bytesToHex } from '@noble/curves/utils.js';
import type { Clock } from '../clock.ts';
import type { DeviceCrypto, IdentityKey } from '../crypto/port.ts';
import { type DeviceId, makeUlid, parseDeviceId } from '../device-id.ts';
import { hasCode, IdentityError } from '../errors.ts';
import type { SecretStore } from '../secret-store/port.ts';

const secretName = 'device/identity';
const idLength = 26;

export class DeviceIdentity {
  readonly id: DeviceId;
  /** What its keys are made with. */
  readonly crypto: DeviceCrypto;
  readonly #key: IdentityKey;

  private constructor(id: DeviceId, crypto: DeviceCrypto, key: IdentityKey) {
    this.id = id;
    this.crypto = crypto;
    this.#key = key;
  }

  /** Creates an identity in memory only. */
  static async create(crypto: DeviceCrypto, clock: Clock): Promise<DeviceIdentity> {
    return new DeviceIdentity(
      makeUlid(clock.now(), crypto.randomBytes(10)),
      crypto,
      await crypto.generateIdentityKey(),
    );
  }

  /** Returns the store's identity, or creates and stores one. */
  static async open(secrets: SecretStore, crypto: DeviceCrypto, clock: Clock): Promise<DeviceIdentity> {
    try {
      return await DeviceIdentity.load(secrets, crypto);
    } catch (error) {
      if (!hasCode(error, 'SECRET_NOT_FOUND')) throw error;
    }
    const identity = await DeviceIdentity.create(crypto, clock);
    await identity.store(secrets);
    return identity;
  }

  /** @param name of a further identity of this device. @throws SECRET_NOT_FOUND, SECRET_CORRUPT */
  static async load(secrets: SecretStore, crypto: DeviceCrypto, name = secretName): Promise<DeviceIdentity> {
    const secret = await secrets.read(name);
    try {
      const id = parseDeviceId(new TextDecoder().decode(secret.subarray(0, idLength)));
      return new DeviceIdentity(id, crypto, await crypto.importIdentityKey(secret.subarray(idLength)));
    } catch (cause) {
      throw new IdentityError('SECRET_CORRUPT', 'The device identity in the secret store cannot be read.', {
        cause,
        about: 'device_identity',
      });
    }
  }

  /** Makes this the store's identity of that name, in place of the previous one. @param name of a further identity of this device. */
  async store(secrets: SecretStore, name = secretName): Promise<void> {
    const key = this.#key.export();
    const secret = new Uint8Array(idLength + key.length);
    secret.set(new TextEncoder().encode(this.id));
    secret.set(key, idLength);
    await secrets.write(name, secret);
  }

  /** Raw Ed25519, 32 bytes. */
  get publicKey(): Uint8Array {
    return this.#key.publicKey;
  }

  /** Ed25519, 64 bytes. */
  async sign(data: Uint8Array): Promise<Uint8Array> {
    return this.#key.sign(data);
  }
}

/** SHA-256 of the raw public key, lower-case hex. */
export async function identityFingerprint(crypto: DeviceCrypto, publicKey: Uint8Array): Promise<string> {
  return bytesToHex(await crypto.sha256(publicKey));
}
