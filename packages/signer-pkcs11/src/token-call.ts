// What the daemon asks the process that talks to a token, and what that process answers.

import type { IdentityErrorCode } from '@palyra/identity';
import type { Ulid } from '@palyra/identity/values';
import type { KnownPin } from './pin.ts';

/** As it travels between the two. */
export type PlainPin = Pick<KnownPin, 'salt' | 'digest'>;

/** One token, as the configuration names it. */
export interface TokenOptions {
  /** Path of the vendor's PKCS #11 module. */
  readonly module: string;
  readonly label: string;
  /** File with the user PIN; read at each login. */
  readonly pinFile: string;
  /** Serial number of the only token that may see the PIN. Default: that of the first token found under the label. */
  readonly serial?: string | undefined;
  /** File that exists while the token is asked for a login. It stays after a refused PIN and stands against another try. */
  readonly refusedMarker: string;
}

export type TokenCall =
  /** Answers the serial number. */
  | { readonly does: 'open' }
  /** Answers the public key (SubjectPublicKeyInfo, DER). */
  | { readonly does: 'make'; readonly authority: Ulid; readonly name: string }
  /** The same. */
  | { readonly does: 'load'; readonly authority: Ulid }
  /** Answers `r || s`, 32 bytes each, over a SHA-256 digest. */
  | { readonly does: 'sign'; readonly authority: Ulid; readonly digest: Uint8Array }
  /** Answers when the token is there, logged in, and has the private key. */
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
