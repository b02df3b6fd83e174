// Devices and their certificates.

import { IdentityError, type IdentityManager } from '@palyra/identity';
import { identityFingerprint } from '@palyra/identity/device';
import { type CertificateRecord, type Device, deviceNotFound } from '@palyra/identity/registry';
import { nodeCrypto, parseDeviceId } from '@palyra/identity/values';
import {
  CloneSign,
  certificateStates,
  cloneSigns,
  deviceKinds,
  deviceRoles,
  deviceStates,
  Transport,
  transports,
} from '@palyra/rpc/admin';
import { actorOf, isRemote } from '@palyra/rpc/transport';
import { parseDevicesQuery, placeAfter } from './device-query.ts';
import { maxPage, millis, pageSize, parseReason, parseRole } from './messages.ts';
import type { AdminServiceOptions, Methods } from './options.ts';

export function deviceMethods(
  options: AdminServiceOptions,
): Methods<
  | 'listDevices'
  | 'getDevice'
  | 'renameDevice'
  | 'setDeviceRole'
  | 'setHostNames'
  | 'setLabels'
  | 'revokeDevice'
  | 'revokeDevices'
  | 'releaseDevice'
  | 'revokeCertificate'
  | 'renewDevices'
> {
  const { identity } = options;
  const { registry } = identity;
  return {
    async listDevices({ limit, ...message }) {
      const page = pageSize(limit);
      const query = parseDevicesQuery(message, identity.clock.now());
      const found = await registry.devices({ limit: page + 1, ...query });
      const shown = found.slice(0, page);
      const devices = await Promise.all(shown.map((device) => toWireDevice(options, device)));
      const last = found.length > page ? shown.at(-1) : undefined;
      const endsMs = devices.at(-1)?.certificateNotAfterMs ?? 0n;
      return { devices, nextAfter: last ? placeAfter(last, query.order ?? 'id', endsMs) : '' };
    },
    async getDevice({ id }) {
      const device = await registry.device(parseDeviceId(id));
      if (!device) throw deviceNotFound(id);
      const certificates = await registry.certificatesOf(device.id, 50);
      return {
        device: await toWireDevice(options, device),
        certificates: certificates.map(toWireCertificate),
      };
    },
    renameDevice: async ({ id, name }, context) =>
      toWireDevice(options, await identity.renameDevice(id, name, actorOf(context))),
    setDeviceRole: async ({ id, role }, context) =>
      toWireDevice(options, await identity.setDeviceRole(id, parseRole(role), actorOf(context))),
    setHostNames: async ({ id, hostNames }, context) =>
      toWireDevice(options, await identity.setHostNames(id, hostNames, actorOf(context))),
    setLabels: async ({ id, labels }, context) =>
      toWireDevice(options, await identity.setDeviceLabels(id, labels, actorOf(context))),
    revokeDevice: async ({ id, reason }, context) =>
      toWireDevice(options, await identity.revokeDevice(id, parseReason(reason), actorOf(context))),
    async revokeDevices({ ids, reason }, context) {
      const revoked = await identity.revokeDevices(ids, parseReason(reason), actorOf(context));
      return { devices: await Promise.all(revoked.map((device) => toWireDevice(options, device))) };
    },
    async releaseDevice({ id }, context) {
      if (isRemote(context)) await mustNotBeOperator(identity, id);
      return toWireDevice(options, await identity.releaseDevice(id, actorOf(context)));
    },
    revokeCertificate: async ({ serial, reason }, context) =>
      toWireCertificate(await identity.revokeCertificate(serial, parseReason(reason), actorOf(context))),
    async renewDevices({ ids, all, after, withinMs }, context) {
      if (all === ids.length > 0 || ids.length > maxPage) throw eitherAllOrSome();
      const wanted = all ? { after, limit: maxPage } : { ids };
      const { asked, nextAfter } = await identity.askToRenew(wanted, Number(withinMs), actorOf(context));
      const connected = (await options.connections.of(asked)).size;
      return { asked: asked.length, connected, nextAfter };
    },
  };
}

export async function toWireDevice(
  { identity, connections }: Pick<AdminServiceOptions, 'identity' | 'connections'>,
  device: Device,
) {
  const certificates = await identity.registry.livingCertificates(device.id);
  const connection = (await connections.of([device.id])).get(device.id);
  const live = certificates.find((each) => each.state === 'active') ?? certificates[0];
  const suspicions = device.state === 'revoked' ? undefined : device;
  return {
    id: device.id,
    name: device.name,
    kind: deviceKinds.toWire(device.kind),
    platform: device.platform,
    role: deviceRoles.toWire(device.role),
    identityFingerprint: await identityFingerprint(nodeCrypto, device.identityKey),
    state: deviceStates.toWire(device.state),
    createdAtMs: millis(device.createdAt),
    lastSeenMs: device.lastSeenAt ? millis(device.lastSeenAt) : 0n,
    capabilities: [...device.capabilities],
    hostNames: [...device.hostNames],
    labels: [...device.labels],
    revocationReason: device.state === 'revoked' ? device.revocationReason : '',
    cloneSeenMs: suspicions?.cloneSeenAt ? millis(suspicions.cloneSeenAt) : 0n,
    ...(suspicions?.cloneSeenAt && (await lastCloneSign(identity, device))),
    recoveryAskedMs: suspicions?.recovery?.state === 'asked' ? millis(suspicions.recovery.at) : 0n,
    certificateNotAfterMs: live ? millis(live.notAfter) : 0n,
    certificateNotBeforeMs: live ? millis(live.notBefore) : 0n,
    transport: connection ? transports.toWire(connection.transport) : Transport.UNSPECIFIED,
    quicProblem: connection?.quicProblem ?? '',
    origin: connection?.origin ?? '',
  };
}

/** The last report of a possible copy, with its source and reason. */
async function lastCloneSign({ registry }: IdentityManager, { id }: Device) {
  const [row] = await registry.audit({ device: id, action: 'certificate.reused', limit: 1 });
  const { source, sign }: { source?: unknown; sign?: unknown } = row ? JSON.parse(row.detailJson) : {};
  return {
    cloneSource: String(source ?? ''),
    cloneSign:
      typeof sign === 'string' && cloneSigns.has(sign) ? cloneSigns.toWire(sign) : CloneSign.UNSPECIFIED,
  };
}

function toWireCertificate(certificate: CertificateRecord) {
  return {
    serial: certificate.serial,
    fingerprint: certificate.fingerprint,
    deviceId: certificate.subject.id,
    state: certificateStates.toWire(certificate.state),
    notBeforeMs: millis(certificate.notBefore),
    notAfterMs: millis(certificate.notAfter),
  };
}

function eitherAllOrSome(): IdentityError {
  return new IdentityError('MESSAGE_INVALID', `Name up to ${maxPage} devices, or all of them.`);
}

/** Somebody with a copy of an operator's device must not be able to release it. */
async function mustNotBeOperator({ registry }: IdentityManager, id: string): Promise<void> {
  const device = await registry.device(parseDeviceId(id));
  if (device?.role !== 'operator') return;
  throw new IdentityError(
    'CALLER_NOT_ALLOWED',
    `${device.name} is an operator. Only the daemon's own machine can release it.`,
    { about: 'quarantine', deviceId: device.id },
  );
}
