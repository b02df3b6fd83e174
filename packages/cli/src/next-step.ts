// What a person can do about an error, by its code. The library says only what happened: it does not know the reader, the
// command line or the home.

import { type ErrorFields, IdentityError, type IdentityErrorCode } from '@palyra/identity/errors';
import { reasonOf } from '@palyra/identity/values';
import type { Advice } from '@palyra/rpc/admin';
import { type Cli, followUp, sideOf } from './cli.ts';
import { quoted } from './home.ts';

interface Situation {
  readonly fields: ErrorFields;
  /** Whether the failed command belongs to the device side. Otherwise, to the operator's. */
  readonly onDevice: boolean;
  /** A command as this person types it, or for a command of the other machine, as its user types it. */
  readonly command: (command: string) => string;
}

type Step = (situation: Situation) => string | undefined;

const none: Step = () => undefined;

/** A step to take on the device, whichever side reads about it. */
const onDevice =
  (step: (situation: Situation) => string): Step =>
  (situation) =>
    situation.onDevice ? step(situation) : `On the device: ${step(situation)}`;

const askForCode: Step = ({ onDevice, command }) =>
  onDevice
    ? `Ask the operator for a new code (on the daemon's machine: palyra pairing code).`
    : `Make a new code: ${command('pairing code')}`;

const checkAddress =
  "Check the address, and ask the operator for a new code (on the daemon's machine: palyra pairing code).";

const pairIt: Step = ({ onDevice, command }) =>
  `Pair ${onDevice ? 'this' : 'the'} device: ${command('pair ADDRESS')}`;

const newIdentity: Step = ({ onDevice, command }) =>
  `Make a new identity${onDevice ? '' : ' on the device'}: ${command('pair ADDRESS --new-identity')}`;

const idIn = ({ deviceId = 'DEVICE' }: ErrorFields) => deviceId;

const restoreIt: Step = ({ command }) => `Put a backup in its place: ${command('restore FILE')}`;

const restoreOrStartAnew: Step = (situation) =>
  `${restoreIt(situation)} (without one, start with a new home; every device then has to pair again)`;

/** Two machines may hold the keys of one device. */
const copied: Step = ({ fields, onDevice, command }) => {
  const revoke = command(`devices revoke ${idIn(fields)}`);
  const anew = command('pair ADDRESS --new-identity');
  return onDevice
    ? `Ask the operator to run: palyra why ${idIn(fields)}. If the device was copied, the operator revokes it (${revoke}). Then make a new identity here: ${anew}`
    : `See: ${command(`why ${idIn(fields)}`)}. If the device was copied, revoke it: ${revoke}. Then make a new identity on the device: ${anew}`;
};

const twoAgents: Step = (situation) =>
  `Stop one of the two agents. If you run only one, the keys of the device were copied. ${copied(situation)}`;

/** For an invalid certificate. `step` applies unless a copy is suspected. */
const certificate =
  (step: Step): Step =>
  (situation) =>
    situation.fields.about === 'recovery' ? copied(situation) : step(situation);

const recoverOrPair = (when: string) =>
  certificate(
    onDevice(({ command }) => `${command('renew --recover')} (or ${command('pair ADDRESS')} ${when})`),
  );

/** For dates of the authority itself, which can be corrected only on the daemon's machine. */
const authorityDates =
  (ofDevice: Step): Step =>
  (situation) => {
    const { fields, onDevice, command } = situation;
    switch (fields.about) {
      case 'root':
        return onDevice
          ? undefined
          : `If the clock is right now, and was wrong when the authority was created, see what a new authority would cost: ${command('ca set-aside')}`;
      case 'old_root':
        return `Move to a new one: ${command('ca rotate-root prepare')}`;
      case 'issuing_ca':
        return onDevice ? undefined : `If this lasts, run: ${command('doctor')}`;
      default:
        return ofDevice(situation);
    }
  };

const nameHome = 'Name the right home: --home DIR';
const nameConfiguration = 'Name the configuration: --config FILE';

const asOwner: Step = ({ fields: { about, user, path } }) => {
  if (about !== 'home_owner' || user === undefined || path === undefined) return undefined;
  const asUser = `sudo -u ${user.startsWith('#') ? `'${user}'` : user}`;
  return `Run the command as that user: ${asUser} palyra ... --home ${quoted(path)}. Or name a home of your own: --home DIR`;
};

/** Lets a device recover, or shuts it out. */
const releaseOrRevoke: Step = ({ fields, onDevice, command }) =>
  onDevice
    ? `Ask the operator to let the device back in, on the daemon's machine: palyra devices release ${idIn(fields)}`
    : `To let it back in: ${command(`devices release ${idIn(fields)}`)}. The device then tries again by itself. If you no longer own it: ${command(`devices revoke ${idIn(fields)}`)}`;

export const nextSteps: Readonly<Record<IdentityErrorCode, Step>> = {
  MESSAGE_INVALID: ({ fields }) => (fields.about === 'configuration' ? nameConfiguration : undefined),
  MESSAGE_TOO_LARGE: none,
  VERSION_UNSUPPORTED: none,
  CODE_MALFORMED: none,
  DEVICE_ID_INVALID: none,
  PASSPHRASE_WEAK: none,
  CERTIFICATE_INVALID: none,
  SERVICE_INVALID: none,

  DAEMON_NOT_AUTHENTICATED: ({ fields, command }) => {
    if (fields.about === 'interception') return checkAddress;
    if (fields.about === 'pairing_code')
      return `If you mistyped the code, run the command again: a code has three guesses. If not, check the address, or ask the operator for a new code (on the daemon's machine: palyra pairing code).`;
    return `Check the address. If the daemon was set up anew, pair again: ${command('pair ADDRESS')}`;
  },
  ROOT_MISMATCH: () =>
    "Check that the address is the daemon's, and ask the operator for a new QR code (on the daemon's machine: palyra pairing code --qr).",
  CERTIFICATE_MISSING: pairIt,
  CERTIFICATE_UNKNOWN: certificate(pairIt),
  CERTIFICATE_REVOKED: certificate(
    ({ command }) =>
      `On the device, ask for a new certificate, which the operator has to approve: ${command('renew --recover')}. Or pair the device again: ${command('pair ADDRESS')}`,
  ),
  CERTIFICATE_SUPERSEDED: certificate(
    ({ command }) =>
      `If the device has lost the newer certificate, run on the device: ${command('renew --recover')}`,
  ),
  AUTHORITY_RETIRED: recoverOrPair('when the device does not know the new root'),
  CERTIFICATE_EXPIRED: authorityDates(recoverOrPair('when the device was away for too long')),
  CERTIFICATE_NOT_YET_VALID: authorityDates(
    certificate(({ command }) => `If the clocks agree, run on the device: ${command('renew --recover')}`),
  ),
  DEVICE_REVOKED: newIdentity,
  DEVICE_QUARANTINED: ({ fields, onDevice, command }) => {
    const [release, revoke] = [`devices release ${idIn(fields)}`, `devices revoke ${idIn(fields)}`];
    return onDevice
      ? `On the daemon's machine: palyra ${release} (or ${revoke})`
      : `If you are sure that nobody copied the device: ${command(release)}. Otherwise: ${command(revoke)}`;
  },

  PAIRING_CODE_WRONG: askForCode,
  PAIRING_REJECTED: ({ onDevice, command }) =>
    onDevice
      ? "To ask again, get a new code from the operator (on the daemon's machine: palyra pairing code)."
      : `To let the device in after all, make a new code: ${command('pairing code')}`,
  TOO_MANY_TRIES: () => checkAddress,
  CALLER_NOT_ALLOWED: ({ fields }) => {
    switch (fields.about) {
      case 'operator_role':
        return `Give the device the role on the daemon's machine: palyra devices set-role ${idIn(fields)} operator`;
      case 'quarantine':
        return `On the daemon's machine: palyra devices release ${idIn(fields)}`;
      case 'console_login':
        return "On the daemon's machine: palyra console";
      default:
        return undefined;
    }
  },
  CAPABILITY_NOT_ALLOWED: ({ onDevice }) =>
    onDevice
      ? undefined
      : "The rules are in capabilities.rules of the daemon's config.json. A change applies after a restart.",
  PASSKEY_REQUIRED: none,
  PASSKEY_WRONG: none,
  PROOF_WRONG: pairIt,
  RECOVERY_NEEDS_APPROVAL: releaseOrRevoke,
  CLOCK_SKEW: none,
  CLOCK_WRONG: ({ fields, command }) =>
    fields.about === 'set_aside' ? `Check again: ${command('ca set-aside')}` : undefined,

  PAIRING_NOT_FOUND: ({ onDevice, command }) =>
    onDevice ? 'Pair again with a new code from the operator.' : `See: ${command('pairing list')}`,
  SESSION_NOT_FOUND: none,
  DEVICE_NOT_FOUND: (situation) => {
    const { fields, onDevice, command } = situation;
    if (fields.about === 'backup')
      return 'For a device that was paired after the backup and has been revoked since, give its full id: --revoked-later ID';
    return onDevice ? pairIt(situation) : `See: ${command('devices list')}`;
  },
  CERTIFICATE_NOT_FOUND: ({ fields, command }) => `See: ${command(`devices show ${idIn(fields)}`)}`,
  NOTHING_FOUND: ({ fields }) =>
    fields.about === 'home' ? `Start the daemon once, or name the right home: --home DIR` : undefined,

  PAIRING_STATE_CONFLICT: none,
  PAIRING_EXPIRED: askForCode,
  IDENTITY_KEY_CHANGED: ({ onDevice }) =>
    onDevice
      ? 'Pair again with a new code from the operator.'
      : 'If its owner reinstalled it, approve again with --replace-key. If not, reject the request.',
  KEY_IN_USE: (situation) => (situation.fields.about === 'identity_key' ? newIdentity(situation) : undefined),
  NOT_PAIRED: pairIt,
  ROTATION_CONFLICT: ({ fields, command }) =>
    fields.about === 'backup'
      ? `Use a backup made after ${command('ca rotate-root prepare')}. Without one, start with a new home: every device then has to pair again.`
      : `See: ${command('ca rotate-root status')}`,
  ROTATION_NOT_READY: () =>
    'Wait until these devices have renewed, revoke those that are gone, or run the command again with --force.',
  REVOCATIONS_UNKNOWN: () =>
    'Name the devices revoked since: --revoked ID (repeat for each), or confirm that there were none: --none-revoked',
  BACKUP_EXISTS: ({ fields }) =>
    fields.about === 'backup'
      ? 'Choose another name, or replace a backup of the same daemon: --replace'
      : undefined,
  REGISTRY_IN_USE: none,
  HOME_IN_USE: ({ fields }) =>
    fields.about === 'home'
      ? 'Stop the other daemon first, or give this one another home: --home DIR'
      : undefined,

  RATE_LIMITED: none,
  TOO_MANY_CODES: ({ command }) =>
    `Use one of the codes, or withdraw one: ${command('pairing reject ID')} (see ${command('pairing list')})`,
  TOO_MANY_SESSIONS: none,
  TOO_MANY_REQUESTS: none,

  DEVICE_NOT_CONNECTED: ({ command }) => `On the device, run: ${command('node run')}`,
  DEVICE_BUSY: none,
  CHANNEL_REPLACED: twoAgents,
  CHANNEL_IN_USE: twoAgents,
  CAPABILITY_UNKNOWN: none,
  CAPABILITY_FAILED: none,
  CAPABILITY_TIMEOUT: none,
  CAPABILITY_OUTPUT_TOO_LARGE: none,
  CAPABILITY_CANCELED: none,
  CAPABILITY_LOST: () => 'Look on the device whether it has run, before you run it again.',

  SECRET_NOT_FOUND: none,
  SECRET_CORRUPT: ({ fields, command }) => {
    if (fields.about === 'device_record') return `Pair again: ${command('pair ADDRESS')}`;
    if (fields.about === 'device_identity')
      return `Restore the file, or pair with a new identity: ${command('pair ADDRESS --new-identity')}`;
    return undefined;
  },
  MASTER_KEY_WRONG: ({ fields, onDevice, command }) => {
    if (fields.about !== 'key_file') return undefined;
    const back = 'Put your copy of the key file back';
    return onDevice ? `${back}.` : `${back}, or restore a backup: ${command('restore FILE')}`;
  },
  STORE_PERMISSIONS: (situation) => (situation.fields.about === 'home' ? nameHome : asOwner(situation)),
  STORE_FULL: none,
  STORE_FAILED: (situation) => {
    switch (situation.fields.about) {
      case 'secret_store':
        return restoreOrStartAnew(situation);
      case 'registry':
        return restoreIt(situation);
      case 'home':
        return nameHome;
      case 'configuration':
        return nameConfiguration;
      default:
        return undefined;
    }
  },
  STORE_UNREACHABLE: none,
  STORE_OUTCOME_UNKNOWN: none,
  REGISTRY_VERSION: none,
  REGISTRY_LOST: restoreOrStartAnew,
  REGISTRY_WENT_BACK: none,
  REGISTRY_MOVED: none,
  AUDIT_BROKEN: none,
  BACKUP_UNREADABLE: none,
  SIGNER_UNAVAILABLE: none,
  SIGNER_MISMATCH: none,
  SIGNER_PIN_WRONG: none,

  UNREACHABLE: (situation) => {
    const { fields, command } = situation;
    switch (fields.about) {
      case 'admin_socket':
        return `Start it: ${command('daemon')}`;
      case 'node_endpoints':
        return `If it has moved: ${command('node endpoints --host ADDRESS')}`;
      case 'quic_endpoints':
        return `If the daemon serves QUIC now, name the address in endpoints.quic of its configuration, or here: ${command('node endpoints --quic ADDRESS')}`;
      default:
        return asOwner(situation);
    }
  },
  QUIC_UNAVAILABLE: none,
  INTERNAL: none,
};

type Reader = Pick<Cli, 'invocation' | 'home' | 'side' | 'remote'>;

/** The step for this person. Undefined where the message already says what to do. */
export function nextStep(cli: Reader, code: IdentityErrorCode, fields: ErrorFields = {}): string | undefined {
  return nextSteps[code](situationOf(cli, fields));
}

const advices: Readonly<Record<Advice, Step>> = {
  pair: ({ command }) => `On the device: ${command('pair ADDRESS')}`,
  decide: ({ command }) => `Compare the words, then: ${command('pairing approve ID')} (or reject ID)`,
  pair_again: ({ command }) => `Run the same command again on the device: ${command('pair ADDRESS')}`,
  connect: ({ command }) => `On the device: ${command('node status')}`,
  release_when_sure: ({ fields, command }) =>
    `If you are sure that nobody copied the device: ${command(`devices release ${idIn(fields)}`)}`,
  release_or_revoke: releaseOrRevoke,
};

/** The step for an advice in the daemon's answer to `palyra why`. */
export function adviceStep(cli: Reader, advice: Advice, fields: ErrorFields = {}): string | undefined {
  return advices[advice](situationOf(cli, fields));
}

/** The steps for an error, or for the errors combined in it, without duplicates. */
export function nextStepOf(cli: Reader, error: IdentityError): string | undefined {
  const { cause } = error;
  const several = cause instanceof AggregateError ? cause.errors.filter(isOurs) : [];
  const steps = (several.length > 0 ? several : [error]).map(({ code, fields }) =>
    nextStep(cli, code, fields),
  );
  return [...new Set(steps.filter((step) => step !== undefined))].join('\n') || undefined;
}

/** The message and the next step, for an error that does not end the command. */
export function explained(cli: Reader, error: IdentityError): string {
  const step = nextStepOf(cli, error);
  return `${reasonOf(error)}${step === undefined ? '' : ` ${step}`}`;
}

const isOurs = (error: unknown) => error instanceof IdentityError;

function situationOf(cli: Reader, fields: ErrorFields): Situation {
  return {
    fields,
    onDevice: cli.side === 'device',
    // With --remote, this machine is both the device and the operator's machine.
    command: (command) =>
      cli.remote || sideOf(command) === cli.side ? followUp(cli, command) : `palyra ${command}`,
  };
}
