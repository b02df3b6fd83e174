// What an operator on this page can do about an error, by its code. The page shows the daemon's message before the step.

import { type ErrorFields, type IdentityErrorCode, isErrorCode } from '@palyra/identity/errors';

type Step = string | undefined | ((fields: ErrorFields) => string | undefined);

const onTheMachine = (command: string) => `On the daemon's machine: palyra ${command}`;
const newCode = 'Make a new code on the Pair page.';
const onDevice = (command: string) => `On the device: palyra ${command}`;
const recover = onDevice('renew --recover');
const twoAgents = (fields: ErrorFields) =>
  `Stop one of the two agents. If you run only one, the device was copied: revoke ${fields.deviceId ?? 'it'}.`;
const restore = onTheMachine('restore FILE');

const nextSteps: Readonly<Record<IdentityErrorCode, Step>> = {
  MESSAGE_INVALID: undefined,
  MESSAGE_TOO_LARGE: undefined,
  VERSION_UNSUPPORTED: 'Reload this page. The daemon may have been updated.',
  CODE_MALFORMED: undefined,
  DEVICE_ID_INVALID: undefined,
  PASSPHRASE_WEAK: undefined,
  CERTIFICATE_INVALID: undefined,
  SERVICE_INVALID: undefined,

  DAEMON_NOT_AUTHENTICATED: undefined,
  ROOT_MISMATCH: undefined,
  CERTIFICATE_MISSING: onDevice('pair ADDRESS'),
  CERTIFICATE_UNKNOWN: onDevice('pair ADDRESS'),
  CERTIFICATE_REVOKED: recover,
  CERTIFICATE_SUPERSEDED: recover,
  AUTHORITY_RETIRED: recover,
  CERTIFICATE_EXPIRED: ({ about }) =>
    about === 'root'
      ? onTheMachine('ca set-aside')
      : about === 'issuing_ca'
        ? onTheMachine('doctor')
        : recover,
  CERTIFICATE_NOT_YET_VALID: ({ about }) => (about === 'root' ? onTheMachine('ca set-aside') : recover),
  DEVICE_REVOKED: onDevice('pair ADDRESS --new-identity'),
  DEVICE_QUARANTINED:
    "If you are sure that nobody copied the device, release it on the device's page. Otherwise, revoke it.",

  PAIRING_CODE_WRONG: newCode,
  PAIRING_REJECTED: newCode,
  TOO_MANY_TRIES: newCode,
  CALLER_NOT_ALLOWED: ({ about, deviceId = 'DEVICE' }) => {
    if (about === 'operator_role') return onTheMachine(`devices set-role ${deviceId} operator`);
    if (about === 'quarantine') return onTheMachine(`devices release ${deviceId}`);
    return about === 'console_login' ? onTheMachine('console') : undefined;
  },
  CAPABILITY_NOT_ALLOWED: "The rules are in capabilities.rules of the daemon's config.json.",
  PASSKEY_REQUIRED: 'Open the console at its address with localhost, and use one of your passkeys.',
  PASSKEY_WRONG: "Try again. If you lost your passkeys: on the daemon's machine, palyra passkeys remove ID",
  PROOF_WRONG: onDevice('pair ADDRESS'),
  RECOVERY_NEEDS_APPROVAL: 'Release the device on its page, or revoke it.',
  CLOCK_SKEW: undefined,
  CLOCK_WRONG: undefined,

  PAIRING_NOT_FOUND: 'The request may have ended. See the Requests page.',
  SESSION_NOT_FOUND: undefined,
  DEVICE_NOT_FOUND: 'See the Devices page.',
  CERTIFICATE_NOT_FOUND: "The device's page lists its certificates.",
  NOTHING_FOUND: undefined,

  PAIRING_STATE_CONFLICT: undefined,
  PAIRING_EXPIRED: newCode,
  IDENTITY_KEY_CHANGED:
    'If its owner reinstalled it, approve it with its new key. If not, reject the request.',
  KEY_IN_USE: ({ about }) => (about === 'identity_key' ? onDevice('pair ADDRESS --new-identity') : undefined),
  NOT_PAIRED: undefined,
  ROTATION_CONFLICT: 'The Authority page shows the state of the rotation.',
  ROTATION_NOT_READY: 'Wait until these devices have renewed, or revoke those that are gone.',
  REVOCATIONS_UNKNOWN: undefined,
  BACKUP_EXISTS: undefined,
  HOME_IN_USE: undefined,
  REGISTRY_IN_USE: undefined,

  RATE_LIMITED: undefined,
  TOO_MANY_CODES: 'Use one of the codes, or withdraw one on the Requests page.',
  TOO_MANY_SESSIONS: undefined,
  TOO_MANY_REQUESTS: undefined,

  DEVICE_NOT_CONNECTED: onDevice('node run'),
  DEVICE_BUSY: undefined,
  CHANNEL_REPLACED: twoAgents,
  CHANNEL_IN_USE: twoAgents,
  CAPABILITY_UNKNOWN: undefined,
  CAPABILITY_FAILED: undefined,
  CAPABILITY_TIMEOUT: undefined,
  CAPABILITY_OUTPUT_TOO_LARGE: undefined,
  CAPABILITY_CANCELED: undefined,
  CAPABILITY_LOST: 'Look on the device whether it has run, before you run it again.',

  SECRET_NOT_FOUND: onTheMachine('doctor'),
  SECRET_CORRUPT: onTheMachine('doctor'),
  MASTER_KEY_WRONG: onTheMachine('doctor'),
  STORE_PERMISSIONS: onTheMachine('doctor'),
  STORE_FULL: undefined,
  STORE_FAILED: onTheMachine('doctor'),
  STORE_UNREACHABLE: undefined,
  STORE_OUTCOME_UNKNOWN: undefined,
  REGISTRY_VERSION: undefined,
  REGISTRY_LOST: restore,
  REGISTRY_WENT_BACK: undefined,
  REGISTRY_MOVED: undefined,
  AUDIT_BROKEN: restore,
  BACKUP_UNREADABLE: undefined,
  SIGNER_UNAVAILABLE: undefined,
  SIGNER_MISMATCH: undefined,
  SIGNER_PIN_WRONG: undefined,

  UNREACHABLE: undefined,
  QUIC_UNAVAILABLE: undefined,
  INTERNAL: undefined,
};

/** Empty where the message already says what to do, and for an unknown code. */
export function nextStep(code: string, fields: ErrorFields = {}): string {
  const step = isErrorCode(code) ? nextSteps[code] : undefined;
  return (typeof step === 'function' ? step(fields) : step) ?? '';
}
