// The port for the place of the CA keys: records of the secret store, or a token that never exposes them.

import { LocalSigner } from '../certificate/local-signer.ts';
import type { Signer } from '../certificate/signer.ts';
import type { Ulid } from '../device-id.ts';
import { hasCode, IdentityError } from '../errors.ts';
import type { RegistryReads } from '../registry/port.ts';
import type { SecretReader, SharedSecretStore } from '../secret-store/port.ts';

/** The place of the keys. The registry records it at the first start, because keys cannot move. */
export interface KeyPlace {
  readonly provider: 'secret-store' | 'pkcs11';
  /** Label and serial number of a token; empty for the secret store. */
  readonly token: string;
  readonly serial: string;
}

export interface AuthorityKeyReader {
  readonly place: KeyPlace;
  /** The name of the key in its place, for people. */
  nameOf(authority: Ulid): string;
  /** @throws SECRET_NOT_FOUND if the place has no key of this authority; errors of the place. */
  load(authority: Ulid): Promise<Signer>;
  /** Checks that this key can sign now. @throws the reason why it cannot. */
  check(authority: Ulid): Promise<void>;
  /** Closes the place. Its signers stop working. */
  close(): Promise<void>;
}

export interface AuthorityKeys extends AuthorityKeyReader {
  /**
   * Makes the key for a new authority, or returns it if it exists. Durable when it resolves.
   * @throws errors of the place.
   */
  make(authority: Ulid): Promise<Signer>;
}

/** Keys in the secret store, loaded into memory to sign. The caller still owns the store. */
export class SecretStoreKeyReader implements AuthorityKeyReader {
  readonly place: KeyPlace = { provider: 'secret-store', token: '', serial: '' };
  readonly #secrets: SecretReader;

  constructor(secrets: SecretReader) {
    this.#secrets = secrets;
  }

  nameOf(authority: Ulid): string {
    return `authorities/${authority.toLowerCase()}`;
  }

  async load(authority: Ulid): Promise<Signer> {
    try {
      return LocalSigner.fromPkcs8(await this.#secrets.read(this.nameOf(authority)));
    } catch (cause) {
      if (!hasCode(cause, 'SECRET_NOT_FOUND')) throw cause;
      throw new IdentityError(
        'SECRET_NOT_FOUND',
        `The secret store does not hold the key of authority ${authority}. Registry and secret store do not belong together; restore both from one backup.`,
        { cause },
      );
    }
  }

  /** A loaded key signs from memory. */
  async check(): Promise<void> {}

  async close(): Promise<void> {}
}

/** The default place. */
export class SecretStoreKeys extends SecretStoreKeyReader implements AuthorityKeys {
  readonly #secrets: SharedSecretStore;

  constructor(secrets: SharedSecretStore) {
    super(secrets);
    this.#secrets = secrets;
  }

  async make(authority: Ulid): Promise<Signer> {
    try {
      return await this.load(authority);
    } catch (error) {
      if (!hasCode(error, 'SECRET_NOT_FOUND')) throw error;
    }
    // Another daemon may make it at the same time; there is one key.
    const stored = await this.#secrets.writeNew(this.nameOf(authority), LocalSigner.generate().toPkcs8());
    return LocalSigner.fromPkcs8(stored);
  }
}

export const keyPlaceSetting = 'authority_keys';

/** The place in which this registry's CA keys were made. */
export async function keyPlaceOf(registry: Pick<RegistryReads, 'setting'>): Promise<KeyPlace> {
  const stored = await registry.setting(keyPlaceSetting);
  // Old registries do not record the place.
  return stored ? (JSON.parse(stored) as KeyPlace) : { provider: 'secret-store', token: '', serial: '' };
}

/** @throws SIGNER_MISMATCH if the keys of this registry's CA were made in another kind of place. */
export async function checkKeyPlace(
  registry: Pick<RegistryReads, 'setting'>,
  keys: Pick<AuthorityKeys, 'place'>,
): Promise<void> {
  const made = await keyPlaceOf(registry);
  if (made.provider === keys.place.provider) return;
  throw new IdentityError(
    'SIGNER_MISMATCH',
    made.provider === 'pkcs11'
      ? `The CA keys of this home are in ${tokenName(made)}. Name it in the configuration: caKey.`
      : 'The CA keys of this home are in its secret store, and keys do not move: take caKey out of the configuration. A token is chosen before the first start.',
  );
}

/** Like `load`. @throws also SIGNER_MISMATCH if the key is missing because this is a different token. */
export async function loadFromPlace(
  registry: Pick<RegistryReads, 'setting'>,
  keys: AuthorityKeyReader,
  authority: Ulid,
): Promise<Signer> {
  try {
    return await keys.load(authority);
  } catch (cause) {
    const made = await keyPlaceOf(registry);
    if (!hasCode(cause, 'SECRET_NOT_FOUND') || made.serial === keys.place.serial) throw cause;
    throw new IdentityError(
      'SIGNER_MISMATCH',
      `The CA keys of this home were made in ${tokenName(made)}; ${tokenName(keys.place)} is a different one and does not have them. Plug in the first token.`,
      { cause },
    );
  }
}

const tokenName = ({ token, serial }: KeyPlace) => `the token "${token}" (serial number ${serial})`;
