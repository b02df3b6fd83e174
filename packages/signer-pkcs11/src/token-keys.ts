// The CA's keys in a PKCS #11 token: made there, used there, and never out of it.

import { createHash, createPublicKey, createVerify, hash, type KeyObject, verify } from 'node:crypto';
import {
  type AuthorityKeys,
  IdentityError,
  type KeyPlace,
  p256PublicKey,
  p256Signature,
  type RunningSignature,
  type Signer,
  type Ulid,
} from '@palyra/identity';
import {
  CKA_CLASS,
  CKA_EC_PARAMS,
  CKA_EC_POINT,
  CKA_EXTRACTABLE,
  CKA_ID,
  CKA_KEY_TYPE,
  CKA_LABEL,
  CKA_PRIVATE,
  CKA_SENSITIVE,
  CKA_SIGN,
  CKA_TOKEN,
  CKA_VERIFY,
  CKK_EC,
  CKM_EC_KEY_PAIR_GEN,
  CKM_ECDSA,
  CKO_PRIVATE_KEY,
  CKO_PUBLIC_KEY,
  type Handle,
} from './cryptoki.ts';
import { findObjects, type Session, Token, type TokenOptions } from './token.ts';

export type TokenKeysOptions = TokenOptions;

/** prime256v1 (RFC 5480 2.1.1.1). */
const curve = Buffer.from('06082a8648ce3d030107', 'hex');

export class TokenKeys implements AuthorityKeys {
  readonly place: KeyPlace;
  readonly #token: Token;
  readonly #signers = new Map<Ulid, TokenSigner>();

  /**
   * Logs in to the token.
   * @throws SIGNER_UNAVAILABLE without the token, its module or the native library; SIGNER_PIN_WRONG, and then not tried
   * again; SIGNER_MISMATCH for another token than the named one, which does not see the PIN; STORE_PERMISSIONS,
   * STORE_FAILED about the PIN file and the marker.
   */
  static async open(options: TokenKeysOptions): Promise<TokenKeys> {
    const { token, serial } = await Token.open(options);
    return new TokenKeys(token, { provider: 'pkcs11', token: options.label, serial });
  }

  private constructor(token: Token, place: KeyPlace) {
    this.#token = token;
    this.place = place;
  }

  /** The key's CKA_LABEL. Its CKA_ID is the authority's id as text, which no other daemon on this token has. */
  nameOf(authority: Ulid): string {
    return `palyra-ca-${authority.toLowerCase()}`;
  }

  async make(authority: Ulid): Promise<Signer> {
    const publicKey = await this.#token.use(async (session) => {
      // What a first attempt has made is not made twice.
      if (findObjects(session, CKO_PRIVATE_KEY, authority).length === 0)
        await generate(session, authority, this.nameOf(authority));
      return readPublicKey(session, authority);
    });
    return this.#signer(authority, publicKey);
  }

  async load(authority: Ulid): Promise<Signer> {
    const known = this.#signers.get(authority);
    if (known) return known;
    const publicKey = await this.#token.use((session) => {
      privateKey(session, authority);
      return readPublicKey(session, authority);
    });
    return this.#signer(authority, publicKey);
  }

  close(): Promise<void> {
    return this.#token.close();
  }

  #signer(authority: Ulid, publicKey: Uint8Array): TokenSigner {
    const signer = new TokenSigner(this.#token, authority, publicKey);
    this.#signers.set(authority, signer);
    return signer;
  }
}

class TokenSigner implements Signer {
  readonly publicKey: Uint8Array;
  readonly #token: Token;
  readonly #authority: Ulid;
  readonly #verifier: KeyObject;

  constructor(token: Token, authority: Ulid, publicKey: Uint8Array) {
    this.#token = token;
    this.#authority = authority;
    this.publicKey = publicKey;
    this.#verifier = createPublicKey({ key: Buffer.from(publicKey), type: 'spki', format: 'der' });
  }

  /** @throws SIGNER_UNAVAILABLE; SECRET_NOT_FOUND when the key was removed; SIGNER_PIN_WRONG. */
  sign(data: Uint8Array): Promise<Uint8Array> {
    return this.#signDigest(hash('sha256', data, 'buffer'), (signature) =>
      verify('sha256', data, this.#verifier, signature),
    );
  }

  /** `end` throws as `sign`. */
  startSigning(): RunningSignature {
    const digest = createHash('sha256');
    const check = createVerify('sha256');
    return {
      update: (part) => {
        digest.update(part);
        check.update(part);
      },
      end: () => this.#signDigest(digest.digest(), (signature) => check.verify(this.#verifier, signature)),
    };
  }

  async #signDigest(digest: Buffer, holds: (signature: Uint8Array) => boolean): Promise<Uint8Array> {
    const rAndS = await this.#token.use((session) => {
      const key = privateKey(session, this.#authority);
      session.api.C_SignInit(session.handle, { mechanism: CKM_ECDSA, parameter: null }, key);
      // Not on this thread: a token takes from a tenth of a millisecond to a tenth of a second.
      return session.api.C_SignAsync(session.handle, digest, Buffer.alloc(128));
    });
    const signature = rAndS.length === 64 ? p256Signature(rAndS) : new Uint8Array();
    if (!holds(signature)) {
      throw new IdentityError('SIGNER_UNAVAILABLE', 'The token made a signature that does not hold.');
    }
    return signature;
  }
}

async function generate({ api, handle }: Session, authority: Ulid, name: string): Promise<void> {
  const named = [
    { type: CKA_TOKEN, value: true },
    { type: CKA_KEY_TYPE, value: CKK_EC },
    { type: CKA_ID, value: Buffer.from(authority) },
    { type: CKA_LABEL, value: Buffer.from(name) },
  ];
  await api.C_GenerateKeyPairAsync(
    handle,
    { mechanism: CKM_EC_KEY_PAIR_GEN, parameter: null },
    [
      { type: CKA_CLASS, value: CKO_PUBLIC_KEY },
      ...named,
      { type: CKA_EC_PARAMS, value: curve },
      { type: CKA_VERIFY, value: true },
    ],
    [
      { type: CKA_CLASS, value: CKO_PRIVATE_KEY },
      ...named,
      { type: CKA_PRIVATE, value: true },
      { type: CKA_SENSITIVE, value: true },
      { type: CKA_EXTRACTABLE, value: false },
      { type: CKA_SIGN, value: true },
    ],
  );
}

function privateKey(session: Session, authority: Ulid): Handle {
  const known = session.keys.get(authority);
  if (known) return known;
  const key = onlyOne(findObjects(session, CKO_PRIVATE_KEY, authority), authority);
  session.keys.set(authority, key);
  return key;
}

function readPublicKey(session: Session, authority: Ulid): Uint8Array {
  const key = onlyOne(findObjects(session, CKO_PUBLIC_KEY, authority), authority);
  const [attribute] = session.api.C_GetAttributeValue(session.handle, key, [{ type: CKA_EC_POINT }]);
  const value = attribute?.value as Buffer;
  // An OCTET STRING around the point (PKCS #11 2.3.3), which some tokens leave out.
  return p256PublicKey(value.length === 67 && value[0] === 4 && value[1] === 65 ? value.subarray(2) : value);
}

function onlyOne(found: readonly Handle[], authority: Ulid): Handle {
  if (found.length === 1) return found[0]!;
  throw found.length === 0
    ? new IdentityError(
        'SECRET_NOT_FOUND',
        `The token does not hold the key of authority ${authority}: it was removed, or this is not the token where it was made. Restore the token from its own backup.`,
      )
    : new IdentityError(
        'SIGNER_MISMATCH',
        `The token holds more than one key with the id ${authority}. Remove the one that does not belong there.`,
      );
}
