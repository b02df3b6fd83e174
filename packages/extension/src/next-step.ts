// What the person can do about an error, by its code.

import type { IdentityErrorCode } from '@palyra/identity/portable';
import { fromConnectError } from '@palyra/rpc/portable';
import type { Problem } from './view.ts';

const pairAgain = 'Pair this browser again, as a new device.';
const newCode = 'Ask the operator for a new code.';
const waits = 'Nothing. This browser tries again by itself.';

const nextSteps: Readonly<Partial<Record<IdentityErrorCode, string>>> = {
  UNREACHABLE: '',
  DAEMON_NOT_AUTHENTICATED: `Check the address and the code. ${newCode}`,
  ROOT_MISMATCH: 'Do not pair over this network. Ask the operator whether the address is right.',
  VERSION_UNSUPPORTED: 'Check the address. Update this browser and its extension.',
  CLOCK_SKEW: "Correct this machine's clock, or the daemon's.",
  CODE_MALFORMED: '',
  PAIRING_CODE_WRONG: newCode,
  PAIRING_REJECTED: `If you did not expect that, speak with the operator. ${newCode}`,
  PAIRING_EXPIRED: newCode,
  PAIRING_NOT_FOUND: newCode,
  TOO_MANY_TRIES: newCode,
  DEVICE_REVOKED: `${pairAgain} The operator decides again.`,
  DEVICE_NOT_FOUND: pairAgain,
  PROOF_WRONG: pairAgain,
  SECRET_CORRUPT: pairAgain,
  DEVICE_QUARANTINED: 'Wait: the operator decides about this device.',
  RECOVERY_NEEDS_APPROVAL: 'Wait: the operator decides about this device.',
  CHANNEL_IN_USE:
    'Another program uses the keys of this browser. Tell the operator: they may have been copied.',
  CHANNEL_REPLACED:
    'Another program uses the keys of this browser. Tell the operator: they may have been copied.',
  STORE_FAILED: 'Restart the browser.',
  STORE_FULL: 'Make room on the disk of this machine.',
  TOO_MANY_SESSIONS: waits,
  TOO_MANY_REQUESTS: waits,
  RATE_LIMITED: waits,
};

export function problemOf(cause: unknown): Problem {
  const { code, message, fields } = fromConnectError(cause);
  if (code === 'CALLER_NOT_ALLOWED' && fields.about === 'operator_role')
    return {
      code,
      message,
      step: 'The operator can give this device the role: palyra devices set-role ID operator',
    };
  return { code, message, step: nextSteps[code] ?? '' };
}
