// A pairing, as JSON for programs and as text for people.

import type { Device, DeviceKind, PairingRequest, PairingState } from '@palyra/identity/registry';
import { continuities, deviceKinds, deviceRoles, pairingStates } from '@palyra/rpc/admin';
import type { Pairing } from './admin.ts';
import { type Cli, followUp } from './cli.ts';
import { printable } from './printable.ts';
import { shortId } from './reference.ts';
import { fields, table } from './table.ts';
import { formatClock, formatSpan, formatTime, isoTime } from './time.ts';

export function pairingJson(pairing: Pairing) {
  const { device } = pairing;
  return {
    id: pairing.id,
    state: pairingStates.show(pairing.state),
    code: pairing.slot ? 'typed' : 'qr',
    slot: pairing.slot || null,
    auto_approve: pairing.autoApprove,
    created_at: isoTime(pairing.createdAtMs),
    expires_at: isoTime(pairing.expiresAtMs),
    guesses_left: pairing.guessesLeft,
    failed_guesses: pairing.failedGuesses,
    reason: pairing.reason || null,
    serial: pairing.serial || null,
    device: device
      ? {
          id: device.deviceId,
          name: device.name,
          kind: deviceKinds.show(device.kind),
          platform: device.platform,
          identity_fingerprint: device.identityFingerprint,
          words: device.words,
          source: device.source,
          continuity: continuities.show(device.continuity),
          role: deviceRoles.fromWire(device.role) ?? null,
          known_name: device.knownName || null,
        }
      : null,
  };
}

const stateWords: Readonly<Record<OrUnknown<PairingState>, string>> = {
  waiting: 'waits for a device',
  pending_approval: 'WAITS FOR YOU',
  approved: 'approved',
  issued: 'certificate sent',
  active: 'connected',
  rejected: 'rejected',
  expired: 'expired',
  exhausted: 'guesses used up',
  unknown: 'unknown',
};

export function pairingTable(cli: Cli, pairings: readonly Pairing[]): string {
  const rows = pairings.map((pairing) => [
    shortId(pairing.id),
    stateWords[pairingStates.show(pairing.state)],
    codeName(pairing),
    pairing.device ? `${pairing.device.name} (${deviceKinds.show(pairing.device.kind)})` : '-',
    pairing.device?.words ?? '-',
    pairing.expiresAtMs > 0n ? formatSpan(Number(pairing.expiresAtMs) - cli.now()) : '-',
  ]);
  return table(['ID', 'STATE', 'CODE', 'DEVICE', 'WORDS', 'ENDS IN'], rows, {
    columns: cli.output.columns,
    keep: ['ID', 'STATE', 'WORDS', 'ENDS IN'],
    spare: ['CODE', 'ENDS IN'],
  });
}

/** All information needed for a decision. */
export function pairingDetails(cli: Cli, pairing: Pairing): string {
  const { device, failedGuesses } = pairing;
  const continuity = device && continuities.show(device.continuity);
  const now = cli.now();
  const shown = fields([
    ['id', pairing.id],
    ['state', stateWords[pairingStates.show(pairing.state)]],
    ['reason', pairing.reason],
    ['name', device?.name],
    ['kind', device && deviceKinds.show(device.kind)],
    ['platform', device?.platform],
    ['words', device?.words],
    ['device id', device?.deviceId],
    ['identity key', device?.identityFingerprint],
    ['address', device?.source],
    ['known before', continuity && continuityWords[continuity]],
    ['known as', device?.knownName],
    ['role', roleWords(changeOf(pairing))],
    ['code', codeName(pairing)],
    ['decision', pairing.autoApprove ? autoApproveWords : undefined],
    ['bad guesses', device || failedGuesses > 0 ? String(failedGuesses) : undefined],
    ['certificate', pairing.serial && `serial ${pairing.serial}`],
    ['created', formatTime(pairing.createdAtMs, now)],
    ['expires', pairing.expiresAtMs > 0n ? formatTime(pairing.expiresAtMs, now) : undefined],
  ]);
  return continuity === 'another_key' ? `${shown}\n\n${anotherKey(cli)}` : shown;
}

const continuityWords: Readonly<Record<OrUnknown<PairingRequest['continuity']>, string>> = {
  new: 'no, a new device',
  known: 'yes, with this identity key',
  another_key: 'YES, WITH ANOTHER IDENTITY KEY',
  unknown: 'unknown',
};

export const autoApproveWords = 'AUTO-APPROVED: the device that uses the code is approved without asking';

function roleWords({ state, device }: PairingChange): string | undefined {
  if (device?.role !== 'operator') return undefined;
  return state === 'pending_approval' ? operatorWarning(device) : 'OPERATOR';
}

/** Explains how approving a request affects an operator; undefined if the device is no operator. */
export function operatorWarning({
  role,
  continuity,
}: Pick<ChangedDevice, 'role' | 'continuity'>): string | undefined {
  if (role !== 'operator') return undefined;
  return continuity === 'another_key'
    ? 'this id is an OPERATOR; the new key does not get that role'
    : 'this device is an OPERATOR and stays one';
}

function anotherKey(cli: Cli): string {
  return cli.output.paint(
    'yellow',
    [
      '  ! This device id is known, but with ANOTHER identity key.',
      '  ! Its owner may have reinstalled it, or somebody may be impersonating it. Ask the owner.',
      '  ! Approving it needs --replace-key, and ends everything issued to the old key.',
    ].join('\n'),
  );
}

type OrUnknown<Word extends string> = Word | 'unknown';

/** What `daemon` and `pairing watch` know of a change. */
export interface PairingChange {
  readonly id: string;
  readonly state: OrUnknown<PairingState>;
  readonly slot: string;
  readonly guessesLeft: number;
  readonly failedGuesses: number;
  readonly reason: string;
  readonly autoApprove: boolean;
  readonly device?: ChangedDevice | undefined;
}

export interface ChangedDevice {
  readonly name: string;
  readonly kind: OrUnknown<DeviceKind>;
  readonly platform: string;
  readonly words: string;
  readonly source: string;
  readonly continuity: OrUnknown<PairingRequest['continuity']>;
  /** Of the device that has this id now; undefined when there is none. */
  readonly role: Device['role'] | undefined;
}

/** A pairing as the daemon sends it. */
export function changeOf({ state, device, ...pairing }: Pairing): PairingChange {
  return {
    ...pairing,
    state: pairingStates.show(state),
    device: device && {
      ...device,
      kind: deviceKinds.show(device.kind),
      continuity: continuities.show(device.continuity),
      role: deviceRoles.fromWire(device.role),
    },
  };
}

/** The change as a line with its time. A request also shows the command that approves it. */
export function pairingChangeLine(cli: Cli, change: PairingChange): string {
  const { device } = change;
  const name = device ? printable(device.name) : undefined;
  const code = change.slot ? `Code ${printable(change.slot)}` : 'A QR code';
  const line = (text: string) => `${cli.output.paint('dim', formatClock(cli.now()))}  ${text}`;
  switch (change.state) {
    case 'waiting':
      return change.failedGuesses > 0
        ? // A guess counts from its start, before anybody knows whether it is right.
          line(
            `A device uses ${change.slot ? code.toLowerCase() : 'a QR code'}; guesses left after this one: ${change.guessesLeft}.`,
          )
        : line(`${code} waits for a device${change.autoApprove ? ', and APPROVES IT WITHOUT ASKING' : ''}.`);
    case 'pending_approval':
      return requestLines(cli, change, line);
    case 'approved':
      return line(
        `Approved: ${name}${device?.role === 'operator' ? ', as an OPERATOR' : ''}. It now fetches its certificate.`,
      );
    case 'issued':
      return line(`${name} has its certificate.`);
    case 'active':
      return line(`${name} connected for the first time.`);
    case 'rejected':
      return line(`Rejected: ${name ?? code}${change.reason && ` (${printable(change.reason)})`}.`);
    case 'expired':
      return line(name ? `The request of ${name} expired.` : `${code} expired unused.`);
    case 'exhausted':
      return line(`${code} is used up: every guess was wrong.`);
    case 'unknown':
      return line(`${shortId(change.id)} is in a state that this version does not know.`);
  }
}

function requestLines(
  cli: Cli,
  { id, device, failedGuesses }: PairingChange,
  line: (text: string) => string,
) {
  const { name, kind, platform, source, words, continuity } = device!;
  const indent = ' '.repeat(10);
  const lines = [
    line(
      `${cli.output.paint('bold', `${printable(name)} asks to be paired`)}: ${printable(`${kind}, ${platform}, from ${source}`)}`,
    ),
    `${indent}words    ${cli.output.paint('bold', printable(words))}`,
  ];
  if (failedGuesses > 0)
    lines.push(`${indent}before   ${failedGuesses} wrong ${failedGuesses === 1 ? 'guess' : 'guesses'}`);
  if (continuity === 'another_key') {
    lines.push(
      `${indent}${cli.output.paint('yellow', '! this device id is known with ANOTHER identity key')}`,
    );
  }
  const warning = operatorWarning(device!);
  if (warning) lines.push(`${indent}${cli.output.paint('yellow', `! ${warning}`)}`);
  lines.push(`${indent}approve  ${followUp(cli, `pairing approve ${shortId(id)}`)}`);
  return lines.join('\n');
}

function codeName({ slot, autoApprove }: Pick<Pairing, 'slot' | 'autoApprove'>): string {
  return `${slot || 'QR'}${autoApprove ? ' AUTO' : ''}`;
}
