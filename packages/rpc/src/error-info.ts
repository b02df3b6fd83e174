// The fields of an error on the wire (palyra.error.v1.ErrorInfo). What the peer sends is checked field by field: a program may
// put it into a command that a person runs.

import { create, type MessageInitShape } from '@bufbuild/protobuf';
import type { ErrorFields, IdentityErrorCode } from '@palyra/identity/errors';
import { type ErrorInfo, ErrorInfoSchema } from './gen/palyra/error/v1/error_pb.js';
import { errorSubjects } from './wire-words.ts';

/** As ids look: Crockford's base32, 26 characters. */
const ulid = /^[0-7][0-9A-HJKMNP-TV-Z]{25}$/;

/** Names and paths of this machine stay here. */
export function toErrorInfo(
  code: IdentityErrorCode,
  { about, deviceId = '', pairingId = '' }: ErrorFields = {},
  retryAfterMs = 0,
): ErrorInfo {
  const info: MessageInitShape<typeof ErrorInfoSchema> = { code, retryAfterMs, deviceId, pairingId };
  if (about) info.about = errorSubjects.toWire(about);
  return create(ErrorInfoSchema, info);
}

/** A field whose form is wrong is left out. */
export function fieldsOf({ about, deviceId, pairingId }: ErrorInfo): ErrorFields {
  const subject = errorSubjects.fromWire(about);
  return {
    ...(subject && { about: subject }),
    ...(ulid.test(deviceId) && { deviceId }),
    ...(ulid.test(pairingId) && { pairingId }),
  };
}
