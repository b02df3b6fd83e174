// The CA's keys in a PKCS #11 token. They are made and used there, and never leave it.

import { createHash, createPublicKey, createVerify, hash, type KeyObject, verify } from 'node:crypto';
import { IdentityError } from '@palyra/identity';
import { p256Signature, type RunningSignature, type Signer } from '@palyra/identity/certificate';
import { checkTrusted } from '@palyra/identity/files';
import type { AuthorityKeys, KeyPlace } from '@palyra/identity/keys';
import type { Ulid } from '@palyra/identity/values';
import type { TokenCall, TokenOptions, TokenReply } from './token-call.ts';
import { defaultLinkLimits, type LinkLimits, TokenLink } from './token-link.ts';

export type TokenKeysOptions = TokenOptions;

export class TokenKeys implements AuthorityKeys {
  readonly place: KeyPlace;
  readonly #token: AskedToken;
  readonly #signers = new Map<Ulid, TokenSigner>();

  /**
   * Logs in to the token.
   * @param limits of the token process.
   * @throws SIGNER_UNAVAILABLE without the token, its module or the native library; SIGNER_PIN_WRONG, after which it is
   *   not
   * tried again; SIGNER_MISMATCH for a different token, which does not get the PIN; STORE_PERMISSIONS, STORE_FAILED for
   * the module, the PIN file and the marker.
   */
  static async open(options: TokenKeysOptions, limits: LinkLimits = defaultLinkLimits): Promise<TokenKeys> {
    // The token process reports a missing module.
    await checkTrusted(options.module);
    const token = new AskedToken(options, limits);
    try {
      const serial = (await token.ask({ does: 'open' })) as string;
      return new TokenKeys(token, { provider: 'pkcs11', token: options.label, serial });
    } catch (error) {
      await token.release();
      throw error;
    }
  }

  private constructor(token: AskedToken, place: KeyPlace) {
    this.#token = token;
    this.place = place;
  }

  /** The key's CKA_LABEL. Its CKA_ID is the authority's id as text, which is unique among daemons on this token. */
  nameOf(authority: Ulid): string {
    return `palyra-ca-${authority.toLowerCase()}`;
  }

  async make(authority: Ulid): Promise<Signer> {
    return this.#signer(
      authority,
      await this.#token.ask({ does: 'make', authority, name: this.nameOf(authority) }),
    );
  }

  async load(authority: Ulid): Promise<Signer> {
    return (
      this.#signers.get(authority) ??
      this.#signer(authority, await this.#token.ask({ does: 'load', authority }))
    );
  }

  /** @throws SIGNER_UNAVAILABLE, SIGNER_PIN_WRONG, SIGNER_MISMATCH; SECRET_NOT_FOUND if the key was removed. */
  async check(authority: Ulid): Promise<void> {
    await this.#token.ask({ does: 'check', authority });
  }

  close(): Promise<void> {
    return this.#token.release();
  }

  #signer(authority: Ulid, publicKey: unknown): TokenSigner {
    const signer = new TokenSigner(this.#token, authority, publicKey as Uint8Array);
    this.#signers.set(authority, signer);
    return signer;
  }
}

/** One user's access to the token, until it is released. */
class AskedToken {
  readonly #options: TokenOptions;
  readonly #link: TokenLink;
  #isReleased = false;

  constructor(options: TokenOptions, limits: LinkLimits) {
    this.#options = options;
    this.#link = TokenLink.to(options.module, limits);
  }

  ask(call: TokenCall): Promise<TokenReply['answer']> {
    if (this.#isReleased) throw new IdentityError('SIGNER_UNAVAILABLE', 'The token was closed.');
    return this.#link.ask(this.#options, call);
  }

  async release(): Promise<void> {
    if (this.#isReleased) return;
    this.#isReleased = true;
    await this.#link.release(this.#options);
  }
}

class TokenSigner implements Signer {
  readonly publicKey: Uint8Array;
  readonly #token: AskedToken;
  readonly #authority: Ulid;
  readonly #verifier: KeyObject;

  constructor(token: AskedToken, authority: Ulid, publicKey: Uint8Array) {
    this.#token = token;
    this.#authority = authority;
    this.publicKey = publicKey;
    this.#verifier = createPublicKey({ key: Buffer.from(publicKey), type: 'spki', format: 'der' });
  }

  /** @throws SIGNER_UNAVAILABLE; SECRET_NOT_FOUND if the key was removed; SIGNER_PIN_WRONG. */
  sign(data: Uint8Array): Promise<Uint8Array> {
    return this.#signDigest(hash('sha256', data, 'buffer'), (signature) =>
      verify('sha256', data, this.#verifier, signature),
    );
  }

  /** `end` throws like `sign`. */
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
    const asked = this.#token.ask({ does: 'sign', authority: this.#authority, digest });
    const rAndS = (await asked) as Uint8Array;
    const signature = rAndS.length === 64 ? p256Signature(rAndS) : new Uint8Array();
    if (!holds(signature)) {
      throw new IdentityError('SIGNER_UNAVAILABLE', 'The token made an invalid signature.');
    }
    return signature;
  }
}
