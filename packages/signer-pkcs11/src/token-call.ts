// The messages between the daemon and the token process.

import type { IdentityErrorCode } from '@palyra/identity';
import type { Ulid } from '@palyra/identity/values';
import type { KnownPin } from './pin.ts';

/** A KnownPin as plain data. */
export type PlainPin = Pick<KnownPin, 'salt' | 'digest'>;

/** One token in the configuration. */
export interface TokenOptions {
  /** Path of the vendor's PKCS #11 module. */
  readonly module: string;
  readonly label: string;
  /** File with the user PIN; read at each login. */
  readonly pinFile: string;
  /** Serial number of the only token that may get the PIN. Default: that of the first token found with the label. */
  readonly serial?: string | undefined;
  /** File that exists during a login. It stays after a refused PIN and prevents another try. */
  readonly refusedMarker: string;
}

export type TokenCall =
  /** Returns the serial number. */
  | { readonly does: 'open' }
  /** Returns the public key (SubjectPublicKeyInfo, DER). */
  | { readonly does: 'make'; readonly authority: Ulid; readonly name: string }
  /** Returns the public key (SubjectPublicKeyInfo, DER). */
  | { readonly does: 'load'; readonly authority: Ulid }
  /** Returns `r || s`, 32 bytes each, over a SHA-256 digest. */
  | { readonly does: 'sign'; readonly authority: Ulid; readonly digest: Uint8Array }
  /** Returns if the token is there, logged in, and has the private key. */
  | { readonly does: 'check'; readonly authority: Ulid }
  | { readonly does: 'close' };

export interface TokenRequest {
  readonly token: TokenOptions;
  /** The PIN that this token has accepted before. */
  readonly knownPin: PlainPin | undefined;
  readonly call: TokenCall;
}

export interface TokenReply {
  readonly answer?: string | Uint8Array | undefined;
  readonly failure?: { readonly code: IdentityErrorCode; readonly message: string };
  readonly knownPin: PlainPin | undefined;
}
