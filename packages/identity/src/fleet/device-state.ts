// The state machine of a device (the diagram is in device.ts): a pure function of (device, event, now).

import { deviceFacts } from '../audit/audited-facts.ts';
import type { DeviceId, Ulid } from '../device-id.ts';
import { IdentityError } from '../errors.ts';
import { deviceQuarantined, deviceRevoked } from '../registry/standing.ts';
import { sameBytes } from '../same-bytes.ts';
import {
  type AdmittedDevice,
  baseOf,
  type CloneSign,
  type Device,
  type DeviceKind,
  type DeviceRole,
  isShutOut,
  type QuarantinedDevice,
} from './device.ts';
import {
  asked,
  type History,
  namedAlone,
  rememberedDevice,
  restoredDevice,
  withoutGrants,
} from './restored-device.ts';

/** The operator's approval of a request. */
export interface Approval {
  readonly pairingId: Ulid;
  readonly request: {
    readonly deviceId: DeviceId;
    readonly identityKey: Uint8Array;
    readonly name: string;
    readonly kind: DeviceKind;
    readonly platform: string;
  };
  /** When the request ends, if the device does not fetch its certificate. */
  readonly expiresAt: Date;
  /** Whether a code decided in the operator's place. */
  readonly automatic: boolean;
  /** The operator's own name for the device. */
  readonly name: string | undefined;
  /** Makes the device an operator. Otherwise a known device keeps its role. */
  readonly operator: boolean;
  /** Undefined: a known device keeps its names. */
  readonly hostNames: readonly string[] | undefined;
  /** Allows another identity key for a device id that is known. */
  readonly replaceIdentityKey: boolean;
}

export type DeviceEvent =
  | { readonly type: 'approve'; readonly approval: Approval }
  /** The device connects with a certificate for the first time. */
  | { readonly type: 'use' }
  | { readonly type: 'see' }
  | { readonly type: 'register'; readonly platform: string; readonly capabilities: readonly string[] }
  | { readonly type: 'rename'; readonly name: string }
  | { readonly type: 'set_role'; readonly role: DeviceRole }
  | { readonly type: 'set_host_names'; readonly hostNames: readonly string[] }
  | { readonly type: 'set_labels'; readonly labels: readonly string[] }
  /** The device looks copied. */
  | {
      readonly type: 'suspect';
      /** Serial of the certificate that was used, or that made the recovery unnecessary. */
      readonly serial: string;
      /** Source address. */
      readonly source: string;
      readonly sign: CloneSign;
      readonly quarantine: boolean;
    }
  | {
      readonly type: 'ask_recovery';
      /** Why the operator must decide. */
      readonly reason: string;
      readonly source: string;
      readonly possibleCopy: boolean;
    }
  /** The device got a certificate by its identity key alone. */
  | { readonly type: 'recover' }
  /** The operator revoked one of its certificates. */
  | { readonly type: 'lose_certificate' }
  | { readonly type: 'release' }
  | { readonly type: 'revoke'; readonly reason: string }
  /** The operator tells a restore that the device was revoked. The backup may not know the device. */
  | { readonly type: 'revoke_again'; readonly id: DeviceId; readonly reason: string }
  /** The registry is restored to an earlier time. `before` is the device's last state. */
  | { readonly type: 'restore'; readonly before: Device; readonly history: History }
  /** The registry is restored, and later removals by the operator are unknown. */
  | { readonly type: 'take_grants' };

/**
 * @param device undefined when the registry does not know it.
 * @returns the device after the event; the same object when nothing changes.
 * @throws DEVICE_NOT_FOUND, DEVICE_QUARANTINED, DEVICE_REVOKED, IDENTITY_KEY_CHANGED for an event that the diagram does not allow.
 */
export function stepDevice(device: Device | undefined, event: DeviceEvent, now: Date): Device {
  const next = device ? known(device, event, now) : unknown(event, now);
  if (!next) throw notAllowed(device, event);
  return next;
}

function unknown(event: DeviceEvent, now: Date): Device | undefined {
  switch (event.type) {
    case 'approve':
      return approved(undefined, event.approval, now);
    case 'revoke_again':
      return namedAlone(event.id, event.reason, now);
    case 'restore':
      return rememberedDevice(event.before);
    default:
      return undefined;
  }
}

function known(device: Device, event: DeviceEvent, now: Date): Device | undefined {
  switch (event.type) {
    // In every state.
    case 'rename':
      return { ...device, name: event.name };
    case 'restore': {
      const restored = restoredDevice(device, event.before, event.history, now);
      return sameFacts(device, restored) ? device : restored;
    }
    case 'take_grants': {
      const restored = withoutGrants(device);
      return sameFacts(device, restored) ? device : restored;
    }
    case 'revoke':
    case 'revoke_again':
      if (device.state === 'revoked') return device;
      return { ...baseOf(device), state: 'revoked', revocationReason: event.reason };
    case 'lose_certificate':
      return device.state === 'revoked'
        ? device
        : { ...device, certificateRevokedAt: now, recovery: asked(device) };

    // Until it is revoked.
    case 'set_role':
      if (device.state === 'revoked') return undefined;
      return device.role === event.role ? device : { ...device, role: event.role };
    case 'set_host_names':
      if (device.state === 'revoked') return undefined;
      return device.hostNames.join() === event.hostNames.join()
        ? device
        : { ...device, hostNames: event.hostNames };
    case 'set_labels':
      if (device.state === 'revoked') return undefined;
      return device.labels.join() === event.labels.join() ? device : { ...device, labels: event.labels };
    case 'release':
      return device.state === 'revoked' ? undefined : released(device, now);

    // While it is let in.
    default:
      return isShutOut(device) ? undefined : admitted(device, event, now);
  }
}

type AdmittedEvent = Extract<
  DeviceEvent,
  { type: 'approve' | 'use' | 'see' | 'register' | 'suspect' | 'ask_recovery' | 'recover' }
>;

function admitted(device: AdmittedDevice, event: AdmittedEvent, now: Date): Device | undefined {
  switch (event.type) {
    case 'approve': {
      const { approval } = event;
      const sameKey = sameBytes(device.identityKey, approval.request.identityKey);
      return sameKey || approval.replaceIdentityKey ? approved(device, approval, now) : undefined;
    }
    case 'use':
      return { ...device, state: 'active', lastSeenAt: now };
    case 'see':
      return { ...device, lastSeenAt: now };
    case 'register':
      return { ...device, platform: event.platform, capabilities: event.capabilities };
    case 'suspect': {
      const seen = { ...device, cloneSeenAt: now, cloneReportedAt: now };
      // An earlier permission for a recovery does not apply to a possible copy.
      return event.quarantine ? { ...seen, state: 'quarantined', recovery: asked(device) } : seen;
    }
    case 'ask_recovery':
      return device.recovery?.state === 'asked'
        ? device
        : { ...device, recovery: { state: 'asked', at: now } };
    case 'recover': {
      if (!device.certificateRevokedAt && device.recovery?.state !== 'released') return device;
      return { ...device, certificateRevokedAt: undefined, recovery: asked(device) };
    }
  }
}

function approved(known: AdmittedDevice | undefined, approval: Approval, now: Date): AdmittedDevice {
  const { request } = approval;
  // The operator granted these to the holder of the earlier key.
  const kept = known && sameBytes(known.identityKey, request.identityKey) ? known : undefined;
  return {
    id: request.deviceId,
    identityKey: request.identityKey,
    name: approval.name ?? kept?.name ?? request.name,
    kind: request.kind,
    platform: request.platform,
    role: approval.operator ? 'operator' : (kept?.role ?? 'device'),
    state: kept?.state ?? 'approved',
    createdAt: known?.createdAt ?? now,
    lastSeenAt: known?.lastSeenAt,
    capabilities: known?.capabilities ?? [],
    hostNames: approval.hostNames ?? kept?.hostNames ?? [],
    labels: kept?.labels ?? [],
    cloneSeenAt: kept?.cloneSeenAt,
    // The device has the certificate that it asked for, so a copy is reported again.
    cloneReportedAt: undefined,
    certificateRevokedAt: undefined,
    recovery: undefined,
  };
}

function released(device: AdmittedDevice | QuarantinedDevice, now: Date): Device {
  const { cloneSeenAt, recovery } = device;
  if (device.state !== 'quarantined' && !cloneSeenAt && recovery?.state !== 'asked') return device;
  return {
    ...device,
    state: device.state === 'quarantined' ? 'active' : device.state,
    cloneSeenAt: undefined,
    recovery: recovery?.state === 'asked' ? { state: 'released', at: now } : undefined,
  };
}

function sameFacts(one: Device, other: Device): boolean {
  return JSON.stringify(deviceFacts(one)) === JSON.stringify(deviceFacts(other));
}

function notAllowed(device: Device | undefined, event: DeviceEvent): IdentityError {
  if (!device)
    return new IdentityError('DEVICE_NOT_FOUND', `No device is known that could take "${event.type}".`);
  switch (device.state) {
    case 'revoked':
      return deviceRevoked(device.id, device.revocationReason);
    case 'quarantined':
      return deviceQuarantined(device.id);
    case 'approved':
    case 'active':
      return new IdentityError(
        'IDENTITY_KEY_CHANGED',
        `Device ${device.id} is known with ANOTHER identity key: its owner reinstalled it, or it is not that device.`,
        { deviceId: device.id },
      );
  }
}
