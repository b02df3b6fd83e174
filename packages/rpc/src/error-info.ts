// The fields of an error on the wire (palyra.error.v1.ErrorInfo). Each field that a peer sends is checked, because a program may
// put it into a command that a person runs.

import { create, type MessageInitShape } from '@bufbuild/protobuf';
import type { ErrorFields, IdentityErrorCode } from '@palyra/identity/errors';
import { errorSubjects } from './device-enums.ts';
import { type ErrorInfo, ErrorInfoSchema } from './gen/palyra/error/v1/error_pb.js';

/** The form of ids: Crockford's base32, 26 characters. */
const ulid = /^[0-7][0-9A-HJKMNP-TV-Z]{25}$/;

/**
 * Names and paths of this machine are not sent. An id is sent only in the form of an id. The id of something that does not exist
 * is the caller's own text, which may be longer than a header.
 */
export function toErrorInfo(
  code: IdentityErrorCode,
  { about, ...ids }: ErrorFields = {},
  retryAfterMs = 0,
): ErrorInfo {
  const info: MessageInitShape<typeof ErrorInfoSchema> = { code, retryAfterMs, ...wellFormed(ids) };
  if (about) info.about = errorSubjects.toWire(about);
  return create(ErrorInfoSchema, info);
}

/** Leaves out fields that have a wrong form. */
export function fieldsOf({ about, deviceId, pairingId }: ErrorInfo): ErrorFields {
  const subject = errorSubjects.fromWire(about);
  return { ...(subject && { about: subject }), ...wellFormed({ deviceId, pairingId }) };
}

function wellFormed({ deviceId = '', pairingId = '' }: Pick<ErrorFields, 'deviceId' | 'pairingId'>) {
  return { ...(ulid.test(deviceId) && { deviceId }), ...(ulid.test(pairingId) && { pairingId }) };
}
