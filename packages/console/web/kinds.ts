// The names of the daemon's enumerations, for people.

import { type Device, type DeviceKind, deviceKinds, Transport, transports } from '@palyra/rpc/admin';

const kinds: Readonly<Record<ReturnType<typeof deviceKinds.show>, string>> = {
  cli: 'Command line',
  desktop: 'Desktop app',
  browser: 'Browser',
  node: 'Node',
  unknown: 'Unknown kind',
};

export const kindName = (kind: DeviceKind): string => kinds[deviceKinds.show(kind)];

export const isConnected = ({ transport }: Device): boolean => transport !== Transport.UNSPECIFIED;

/** Of a device that is connected. */
export const transportName = ({ transport }: Device): string => transportNames[transports.show(transport)];

const transportNames: Readonly<Record<ReturnType<typeof transports.show>, string>> = {
  http2: 'HTTP/2',
  quic: 'QUIC',
  websocket: 'WebSocket',
  unknown: 'another transport',
};

/** The rights of the operator role. */
export const operatorRights: readonly string[] = [
  'It can approve, rename and revoke devices, and run capabilities on them, from its own machine.',
  'It cannot make other operators, rotate the root or use the CA keys. That is possible only on this machine.',
  'The audit log records everything it does. You can remove the role at any time.',
];

const actions: Readonly<Record<string, string>> = {
  'daemon.created': 'Daemon set up',
  'daemon.certificate_issued': "Daemon's certificate issued",
  'authority.created': 'Authority created',
  'authority.replaced': 'Issuing authority replaced',
  'authority.retired': 'Authority retired',
  'daemon.restored': 'Daemon restored from a backup',
  'root.prepared': 'New root prepared',
  'root.activated': 'New root in use',
  'root.finished': 'Old root retired',
  'root.rolled_back': 'Root rotation undone',
  'code.minted': 'Code made',
  'code.guessed': 'Code tried',
  'code.exhausted': 'Code used up by wrong guesses',
  'code.expired': 'Code expired',
  'code.withdrawn': 'Code withdrawn',
  'request.received': 'Device asks to pair',
  'request.approved': 'Request approved',
  'request.rejected': 'Request rejected',
  'request.expired': 'Request expired',
  'certificate.issued': 'Certificate issued',
  'certificate.activated': 'Certificate first used',
  'certificate.superseded': 'Certificate replaced by a newer one',
  'certificate.renewed': 'Certificate renewed',
  'certificate.recovered': 'Certificate recovered',
  'certificate.revoked': 'Certificate revoked',
  'recovery.asked': 'Asks to recover',
  'certificate.reused': 'Possible copy: replaced certificate used, needless recovery or second agent',
  'device.revoked': 'Device revoked',
  'device.quarantined': 'Device quarantined',
  'device.released': 'Device released',
  'device.renamed': 'Device renamed',
  'device.role_changed': 'Operator role granted or removed',
  'device.host_names_changed': 'Host names changed',
  'device.labels_changed': 'Labels changed',
  'device.carried_over': 'Device carried over by a restore',
  'certificate.carried_over': 'Certificate carried over by a restore',
  'device.identity_key_replaced': 'Identity key replaced',
  'capability.executed': 'Capability run',
  'daemon.forgotten': 'Daemon of the fleet forgotten',
  'operator.passkey_added': 'Passkey registered',
  'operator.passkey_removed': 'Passkey removed',
  'operator.passkey_used': 'Passkey used',
};

export const actionName = (action: string): string => actions[action] ?? action;

/** The entries that deserve a second look. */
export const isAlarming = (action: string): boolean =>
  [
    'code.exhausted',
    'device.identity_key_replaced',
    'device.role_changed',
    'operator.passkey_added',
    'operator.passkey_removed',
    'device.host_names_changed',
    'device.revoked',
    'device.quarantined',
    'certificate.reused',
    'recovery.asked',
    'certificate.revoked',
    'request.rejected',
  ].includes(action);
