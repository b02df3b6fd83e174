// Seals the secrets of a pairing in the registry: the code's secret and the await key. Each is sealed under a key from
// the secret store and bound to its pairing, so that a copy of the registry alone cannot pair a device.

import type { PairingCrypto } from '../crypto/port.ts';
import { IdentityError } from '../errors.ts';
import { lvCat } from '../lv.ts';

export class PairingSealer {
  readonly #crypto: PairingCrypto;
  readonly #key: Uint8Array;

  /** @param key 32 bytes from the secret store. */
  constructor(crypto: PairingCrypto, key: Uint8Array) {
    this.#crypto = crypto;
    this.#key = key;
  }

  async seal(pairingId: string, field: 'code' | 'await', secret: Uint8Array): Promise<Uint8Array> {
    return this.#crypto.seal(this.#key, associatedData(pairingId, field), secret);
  }

  /** @throws SECRET_CORRUPT if this daemon did not seal the data for this pairing. */
  async unseal(pairingId: string, field: 'code' | 'await', sealed: Uint8Array): Promise<Uint8Array> {
    const secret = await this.#crypto.unseal(this.#key, associatedData(pairingId, field), sealed);
    if (!secret) {
      throw new IdentityError(
        'SECRET_CORRUPT',
        `The ${field} secret of pairing ${pairingId} was not sealed by this daemon. Registry and secret store do not belong together; restore both from one backup.`,
      );
    }
    return secret;
  }
}

function associatedData(pairingId: string, field: string): Uint8Array {
  return lvCat('palyra-pairing-rest-v1', pairingId, field);
}
