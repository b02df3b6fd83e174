// The fields of an error on the wire (palyra.error.v1.ErrorInfo). What the peer sends is checked field by field: a program may
// put it into a command that a person runs.

import { create, type MessageInitShape } from '@bufbuild/protobuf';
import {
  type ErrorFields,
  type ErrorSubject,
  errorSubjects,
  type IdentityErrorCode,
} from '@palyra/identity/errors';
import { About, type ErrorInfo, ErrorInfoSchema } from './gen/palyra/error/v1/error_pb.js';

const abouts: Readonly<Record<ErrorSubject, About>> = {
  pairing_code: About.PAIRING_CODE,
  interception: About.INTERCEPTION,
  identity_key: About.IDENTITY_KEY,
  recovery: About.RECOVERY,
  root: About.ROOT,
  issuing_ca: About.ISSUING_CA,
  set_aside: About.SET_ASIDE,
  backup: About.BACKUP,
  key_file: About.KEY_FILE,
  secret_store: About.SECRET_STORE,
  registry: About.REGISTRY,
  device_record: About.DEVICE_RECORD,
  device_identity: About.DEVICE_IDENTITY,
  operator_role: About.OPERATOR_ROLE,
  quarantine: About.QUARANTINE,
  console_login: About.CONSOLE_LOGIN,
  admin_socket: About.ADMIN_SOCKET,
  quic_endpoints: About.QUIC_ENDPOINTS,
  home: About.HOME,
  home_owner: About.HOME_OWNER,
  configuration: About.CONFIGURATION,
};

const subjects: ReadonlyMap<About, ErrorSubject> = new Map(
  errorSubjects.map((subject) => [abouts[subject], subject]),
);

/** As ids look: Crockford's base32, 26 characters. */
const ulid = /^[0-7][0-9A-HJKMNP-TV-Z]{25}$/;

/** Names and paths of this machine stay here. */
export function toErrorInfo(
  code: IdentityErrorCode,
  { about, deviceId = '', pairingId = '' }: ErrorFields = {},
  retryAfterMs = 0,
): ErrorInfo {
  const info: MessageInitShape<typeof ErrorInfoSchema> = { code, retryAfterMs, deviceId, pairingId };
  if (about) info.about = abouts[about];
  return create(ErrorInfoSchema, info);
}

/** A field whose form is wrong is left out. */
export function fieldsOf({ about, deviceId, pairingId }: ErrorInfo): ErrorFields {
  const subject = subjects.get(about);
  return {
    ...(subject && { about: subject }),
    ...(ulid.test(deviceId) && { deviceId }),
    ...(ulid.test(pairingId) && { pairingId }),
  };
}
