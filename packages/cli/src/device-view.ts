// A device and its certificates, as JSON for programs and as text for people.

import {
  CertificateState,
  certificateStates,
  DeviceRole,
  DeviceState,
  deviceKinds,
  deviceRoles,
  deviceStates,
  Transport,
  transports,
} from '@palyra/rpc/admin';
import type { Certificate, Device } from './admin.ts';
import { type Cli, followUp } from './cli.ts';
import { idIn, isNarrow } from './reference.ts';
import { fields, table } from './table.ts';
import { formatSpan, formatTime, isoTime } from './time.ts';

export function deviceJson(device: Device) {
  return {
    id: device.id,
    name: device.name,
    kind: deviceKinds.show(device.kind),
    platform: device.platform,
    role: deviceRoles.show(device.role),
    state: deviceStates.show(device.state),
    identity_fingerprint: device.identityFingerprint,
    created_at: isoTime(device.createdAtMs),
    connected: isConnected(device),
    transport: isConnected(device) ? transports.show(device.transport) : null,
    origin: device.origin || null,
    last_seen_at: isoTime(device.lastSeenMs),
    certificate_not_after: isoTime(device.certificateNotAfterMs),
    capabilities: device.capabilities,
    host_names: device.hostNames,
    labels: device.labels,
    revocation_reason: device.revocationReason || null,
    clone_seen_at: isoTime(device.cloneSeenMs),
    recovery_asked_at: isoTime(device.recoveryAskedMs),
  };
}

export function certificateJson(certificate: Certificate) {
  return {
    serial: certificate.serial,
    fingerprint: certificate.fingerprint,
    device_id: certificate.deviceId,
    state: certificateStates.show(certificate.state),
    not_before: isoTime(certificate.notBeforeMs),
    not_after: isoTime(certificate.notAfterMs),
  };
}

export function deviceTable(cli: Cli, devices: readonly Device[]): string {
  const haveOrigin = devices.some(({ origin }) => origin !== '');
  const rows = devices.map((device) => [
    idIn(cli.output.columns, device.id),
    device.name,
    deviceKinds.show(device.kind),
    [
      device.role === DeviceRole.OPERATOR && 'OPERATOR',
      deviceStates.show(device.state),
      device.cloneSeenMs > 0n && 'copied?',
      device.recoveryAskedMs > 0n && 'asks to recover',
    ]
      .filter(Boolean)
      .join(', '),
    seen(cli, device),
    expires(cli, device),
    device.labels.join(' '),
    ...(haveOrigin ? [device.origin] : []),
  ]);
  const titles = ['ID', 'NAME', 'KIND', 'STATE', 'SEEN', 'EXPIRES', 'LABELS'];
  return table([...titles, ...(haveOrigin ? ['ORIGIN'] : [])], rows, {
    columns: cli.output.columns,
    keep: ['ID', 'KIND', 'STATE', 'SEEN', 'EXPIRES', 'ORIGIN'],
    spare: ['ORIGIN', 'LABELS', 'KIND', 'EXPIRES'],
  });
}

export function deviceDetails(cli: Cli, device: Device, certificates: readonly Certificate[]): string {
  const now = cli.now();
  const about = fields([
    ['id', device.id],
    ['name', device.name],
    ['kind', deviceKinds.show(device.kind)],
    ['platform', device.platform],
    ['role', device.role === DeviceRole.OPERATOR ? operatorWords : deviceRoles.show(device.role)],
    ['state', deviceStates.show(device.state)],
    ['reason', device.revocationReason],
    ['asks to recover', device.recoveryAskedMs > 0n ? asksToRecover(cli, device) : ''],
    ['possible copy', device.cloneSeenMs > 0n ? possibleCopy(cli, device) : ''],
    ['identity key', device.identityFingerprint],
    ['capabilities', device.capabilities.join(', ')],
    ['host names', device.hostNames.join(', ')],
    ['labels', device.labels.join(', ')],
    ['approved', formatTime(device.createdAtMs, now)],
    [
      'last seen',
      connectedWords(device) ?? (device.lastSeenMs > 0n ? formatTime(device.lastSeenMs, now) : 'never'),
    ],
    ['origin', device.origin],
  ]);
  if (certificates.length === 0) return `${about}\n\nNo certificate yet.`;
  const rows = certificates.map((each) => [
    each.serial,
    Number(each.notAfterMs) <= now && each.state === CertificateState.ACTIVE
      ? 'expired'
      : certificateStates.show(each.state),
    formatTime(each.notBeforeMs, now),
    formatTime(each.notAfterMs, now),
  ]);
  const list = table(['CERTIFICATE', 'STATE', 'FROM', 'UNTIL'], rows, {
    columns: cli.output.columns,
    keep: ['STATE', 'UNTIL'],
    spare: ['FROM'],
  });
  return `${about}\n\n${list}`;
}

/** When its present certificate ends. */
function expires(cli: Cli, { certificateNotAfterMs, state }: Device): string {
  if (state === DeviceState.REVOKED || certificateNotAfterMs === 0n) return '-';
  const leftMs = Number(certificateNotAfterMs) - cli.now();
  return leftMs > 0 ? `in ${formatSpan(leftMs)}` : `${formatSpan(-leftMs)} ago`;
}

function seen(cli: Cli, device: Device): string {
  const now = connectedWords(device);
  if (now) return isNarrow(cli.output.columns) ? 'now' : now;
  return device.lastSeenMs > 0n ? `${formatSpan(cli.now() - Number(device.lastSeenMs))} ago` : 'never';
}

/** Undefined while the device is not connected. */
function connectedWords(device: Device): string | undefined {
  return isConnected(device) ? `now, ${transportNames[transports.show(device.transport)]}` : undefined;
}

/** Names of transports for people. */
export const transportNames: Readonly<Record<ReturnType<typeof transports.show>, string>> = {
  http2: 'HTTP/2',
  quic: 'QUIC',
  websocket: 'WebSocket',
  unknown: 'another transport',
};

const isConnected = ({ transport }: Device): boolean => transport !== Transport.UNSPECIFIED;

/** Explains the role wherever it is granted or shown. */
export const operatorWords =
  'OPERATOR: can approve, rename and revoke devices, and run capabilities on them, from its own machine';

function asksToRecover(cli: Cli, { id, recoveryAskedMs, cloneSeenMs }: Device): string {
  const since = formatTime(recoveryAskedMs, cli.now());
  const copied = cloneSeenMs > 0n ? ' IT MAY HAVE BEEN COPIED: releasing it also lets the copy recover.' : '';
  return `since ${since}.${copied} Why: ${followUp(cli, `why ${id}`)}; to allow it: ${followUp(cli, `devices release ${id}`)}`;
}

function possibleCopy(cli: Cli, { id, cloneSeenMs }: Device): string {
  const at = formatTime(cloneSeenMs, cli.now());
  return `a replaced certificate was used again, the device recovered without need, or a second agent connected, ${at}. See: ${followUp(cli, `why ${id}`)}`;
}
