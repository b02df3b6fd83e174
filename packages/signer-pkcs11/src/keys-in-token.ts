// Work in a session of a token: finds, makes and uses keys of the CA, which never leave the token.

import { IdentityError } from '@palyra/identity';
import { p256PublicKey } from '@palyra/identity/certificate';
import type { Ulid } from '@palyra/identity/values';
import {
  type Attribute,
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
import type { Session, Token } from './token.ts';
import type { TokenCall, TokenReply } from './token-call.ts';

/** prime256v1 (RFC 5480 2.1.1.1). */
const curve = Buffer.from('06082a8648ce3d030107', 'hex');

/** @throws the errors of the token, see `Token.use`. */
export async function answerCall(token: Token, call: TokenCall): Promise<TokenReply['answer']> {
  switch (call.does) {
    case 'open':
      return token.use(({ serial }) => serial);
    case 'check':
      return token.use((session) => {
        // Searches again, because the remembered handle may be out of date after the token was away.
        onlyOne(findObjects(session, CKO_PRIVATE_KEY, call.authority), call.authority);
        return undefined;
      });
    case 'make':
      return token.use((session) => {
        // A second attempt must not make a second key.
        if (findObjects(session, CKO_PRIVATE_KEY, call.authority).length === 0)
          generate(session, call.authority, call.name);
        return readPublicKey(session, call.authority);
      });
    case 'load':
      return token.use((session) => {
        privateKey(session, call.authority);
        return readPublicKey(session, call.authority);
      });
    case 'sign':
      return token.use((session) => {
        const { api, handle } = session;
        api.C_SignInit(
          handle,
          { mechanism: CKM_ECDSA, parameter: null },
          privateKey(session, call.authority),
        );
        return new Uint8Array(api.C_Sign(handle, Buffer.from(call.digest), Buffer.alloc(128)));
      });
    case 'close':
      token.close();
      return undefined;
  }
}

function generate({ api, handle }: Session, authority: Ulid, name: string): void {
  const named = [
    { type: CKA_TOKEN, value: true },
    { type: CKA_KEY_TYPE, value: CKK_EC },
    { type: CKA_ID, value: Buffer.from(authority) },
    { type: CKA_LABEL, value: Buffer.from(name) },
  ];
  api.C_GenerateKeyPair(
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
  const found = findObjects(session, CKO_PUBLIC_KEY, authority);
  if (found.length === 0 && findObjects(session, CKO_PRIVATE_KEY, authority).length > 0) {
    throw new IdentityError(
      'SECRET_NOT_FOUND',
      `The token holds the private key of authority ${authority}, but not its public key. Restore the token from its own backup, with both objects.`,
    );
  }
  const key = onlyOne(found, authority);
  const read = (type: number) =>
    session.api.C_GetAttributeValue(session.handle, key, [{ type }])[0]?.value as Buffer;
  if (!read(CKA_EC_PARAMS).equals(curve)) {
    throw new IdentityError(
      'SIGNER_MISMATCH',
      `The key of authority ${authority} in the token is not on the curve P-256, so it is not the key that was made for this authority. Restore the token from its own backup.`,
    );
  }
  const point = read(CKA_EC_POINT);
  // The point is in an OCTET STRING (PKCS #11 2.3.3), which some tokens leave out.
  return p256PublicKey(point.length === 67 && point[0] === 4 && point[1] === 65 ? point.subarray(2) : point);
}

/** The objects of this kind with this id. There must not be more than one. */
export function findObjects({ api, handle }: Session, objectClass: number, id: string): Handle[] {
  const template: Attribute[] = [
    { type: CKA_CLASS, value: objectClass },
    { type: CKA_KEY_TYPE, value: CKK_EC },
    { type: CKA_TOKEN, value: true },
    { type: CKA_ID, value: Buffer.from(id) },
  ];
  api.C_FindObjectsInit(handle, template);
  try {
    return api.C_FindObjects(handle, 2);
  } finally {
    api.C_FindObjectsFinal(handle);
  }
}

function onlyOne(found: readonly Handle[], authority: Ulid): Handle {
  const [only, ...others] = found;
  if (only !== undefined && others.length === 0) return only;
  throw only === undefined
    ? new IdentityError(
        'SECRET_NOT_FOUND',
        `The token does not hold the key of authority ${authority}: it was removed, or this is not the token in which it was made. Restore the token from its own backup.`,
      )
    : new IdentityError(
        'SIGNER_MISMATCH',
        `The token holds more than one key with the id ${authority}. Remove the one that does not belong there.`,
      );
}
