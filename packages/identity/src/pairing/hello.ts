// The two hellos: opaque bytes on the wire, ADa and ADb of CPace. Parsed strictly, authenticated as received.

import { parseTrustDomain } from '../certificate/spiffe-id.ts';
import { type DeviceId, parseDeviceId, type Ulid } from '../device-id.ts';
import { IdentityError } from '../errors.ts';
import { lvCat, lvSplit } from '../lv.ts';
import { parseDeviceName } from './name.ts';

export interface DeviceHello {
  readonly deviceId: DeviceId;
  /** Raw Ed25519, 32 bytes. */
  readonly identityKey: Uint8Array;
  /** P-256 SubjectPublicKeyInfo, DER. */
  readonly tlsKey: Uint8Array;
  readonly name: string;
  readonly platform: string;
}

export interface DaemonHello {
  readonly daemonId: Ulid;
  readonly trustDomain: string;
  readonly time: Date;
}

const deviceLabel = 'palyra-device-hello-v2';
const daemonLabel = 'palyra-daemon-hello-v2';
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

export function encodeDeviceHello(hello: DeviceHello): Uint8Array {
  return lvCat(deviceLabel, hello.deviceId, hello.identityKey, hello.tlsKey, hello.name, hello.platform);
}

/** @throws MESSAGE_INVALID, DEVICE_ID_INVALID. The code that certifies the TLS key checks it. */
export function parseDeviceHello(data: Uint8Array): DeviceHello {
  const [label, id, identityKey, tlsKey, name, platform] = lvSplit(data, 6) as Six;
  expectLabel(label, deviceLabel);
  if (identityKey.length !== 32) throw invalid('the identity key is not 32 bytes');
  return {
    deviceId: parseDeviceId(text(id)),
    identityKey,
    tlsKey,
    name: parseDeviceName(text(name)),
    platform: parseDeviceName(text(platform), 'A platform'),
  };
}
type Six = [Uint8Array, Uint8Array, Uint8Array, Uint8Array, Uint8Array, Uint8Array];

export function encodeDaemonHello(hello: DaemonHello): Uint8Array {
  return lvCat(daemonLabel, hello.daemonId, hello.trustDomain, String(hello.time.getTime()));
}

/** @throws MESSAGE_INVALID, DEVICE_ID_INVALID */
export function parseDaemonHello(data: Uint8Array): DaemonHello {
  const [label, id, trustDomain, time] = lvSplit(data, 4) as [Uint8Array, Uint8Array, Uint8Array, Uint8Array];
  expectLabel(label, daemonLabel);
  const timeText = text(time);
  if (!/^[1-9][0-9]{0,14}$/.test(timeText)) throw invalid('the time is not a number of milliseconds');
  return {
    daemonId: parseDeviceId(text(id)),
    trustDomain: parseTrustDomain(text(trustDomain)),
    time: new Date(Number(timeText)),
  };
}

function expectLabel(label: Uint8Array, expected: string): void {
  if (text(label) !== expected) throw invalid(`expected ${expected}`);
}

function text(bytes: Uint8Array): string {
  try {
    return decoder.decode(bytes);
  } catch (cause) {
    throw new IdentityError('MESSAGE_INVALID', 'The message cannot be read: a text is not UTF-8.', { cause });
  }
}

function invalid(why: string): IdentityError {
  return new IdentityError('MESSAGE_INVALID', `The message cannot be read: ${why}.`);
}
