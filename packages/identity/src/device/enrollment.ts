// A device's sealed record of a daemon: first the waiting request, then the pinned identity. Replacing the record is
// atomic, so a crash leaves one or the other, and never half a device.
//
// A record belongs to the root that was pinned with the code. A peer chooses its own id, trust domain and address, and
// another daemon may claim the same ones: it gets its own record.

import { bytesToHex } from '@noble/curves/utils.js';
import { sha256 } from '@noble/hashes/sha2.js';
import { byteText } from '../byte-text.ts';
import type { DeviceId, Ulid } from '../device-id.ts';
import { hasCode, IdentityError } from '../errors.ts';
import type { SecretReader, SecretStore } from '../secret-store/port.ts';
import { dropSecret } from './drop-secret.ts';
import { dropEndpoints, type KnownEndpoints, loadEndpoints } from './endpoints.ts';

interface EnrollmentBase {
  /**
   * SHA-256 of the root certificate that was pinned with the code, 64 lower-case hex digits. Rotations do not change
   * it.
   */
  readonly root: string;
  /** The id under which this device asked to be paired. */
  readonly deviceId: DeviceId;
  readonly daemonId: Ulid;
  readonly trustDomain: string;
  /** host:port of the pairing listener at the time of pairing. */
  readonly address: string;
  /** URL of the channel that the device was paired over (docs/channel.md). Absent: over HTTP/2. */
  readonly webAddress?: string;
  /** The P-256 key generated on this device, as `DeviceTlsKey.export` returns it: in Node PKCS #8 DER. */
  readonly tlsKey: Uint8Array;
  /** The trusted roots, DER. */
  readonly trustBundle: readonly Uint8Array[];
}

/** A confirmed request that waits for the operator. */
export interface PendingEnrollment extends EnrollmentBase {
  readonly state: 'pending';
  readonly requestId: string;
  readonly awaitKey: Uint8Array;
  /** Channel binding of the connection that proved the code. Only on that one is the peer known without its root. */
  readonly confirmedOn: Uint8Array;
  readonly words: string;
}

/** A paired daemon: everything that mutual TLS needs. */
export interface PairedEnrollment extends EnrollmentBase, KnownEndpoints {
  readonly state: 'paired';
  /** host:port of the node listener at the time of pairing. `nodeEndpoints` returns the present addresses. */
  readonly nodeAddress: string;
  /** host:port of these services over QUIC, if the daemon serves it. */
  readonly quicAddress?: string;
  /** Leaf, then issuing CA; DER. */
  readonly certificateChain: readonly Uint8Array[];
  /** Arrival of the certificate by this device's clock, Unix milliseconds; the renewal time counts from it. */
  readonly receivedAt: number;
  /** The renewal time that the daemon asked for, ms after the arrival; 0 or absent: none. */
  readonly renewAfterMs?: number;
}

export type Enrollment = PendingEnrollment | PairedEnrollment;

const prefix = 'enrollments/';
/** The secret with the root of the default daemon. */
const defaultName = 'default-daemon';

/** The fields that identify a record. */
type RecordKey = Pick<EnrollmentBase, 'root'> & { readonly state: Enrollment['state'] };

/**
 * A pending request has its own record beside the paired one, because a new request must not lose a working pairing.
 */
function recordName({ root, state }: RecordKey): string {
  return `${prefix}${root}/${state}`;
}

/**
 * Whether both are records of one daemon: they have the same root, or the first has learnt the root of the other in a
 * rotation, from the daemon that it trusts.
 */
export function isOfSameDaemon(known: Enrollment, other: Enrollment): boolean {
  if (known.root === other.root) return true;
  const makesSameClaims = known.daemonId === other.daemonId && known.trustDomain === other.trustDomain;
  return makesSameClaims && known.trustBundle.some((root) => bytesToHex(sha256(root)) === other.root);
}

/**
 * Replaces the record of this root. A paired record also removes the request that led to it, and the record of a daemon
 * that has since rotated to this root. The first daemon stays the default when a second one is paired, unless the
 * second one claims to be the first: between those two, only the person chooses.
 */
export async function storeEnrollment(secrets: SecretStore, enrollment: Enrollment): Promise<void> {
  const { told: _, byHand: __, ...record } = { told: undefined, byHand: undefined, ...enrollment };
  const text = JSON.stringify(record, (_key, value) =>
    value instanceof Uint8Array ? { bytes: toBase64(value) } : value,
  );
  const before = enrollment.state === 'paired' ? await secrets.list(prefix) : [];
  await secrets.write(recordName(enrollment), new TextEncoder().encode(text));
  if (enrollment.state !== 'paired') return;
  await dropEnrollment(secrets, { ...enrollment, state: 'pending' });
  if (before.every((name) => name === recordName(enrollment) || name.endsWith('/pending'))) return;
  const others = (await loadEnrollments(secrets)).filter(
    (each) => each.state === 'paired' && each.root !== enrollment.root,
  );
  const replaced = others.filter((each) => isOfSameDaemon(each, enrollment));
  const known = await defaultDaemon(secrets, others);
  if (replaced.some(({ root }) => root === known)) await setDefaultDaemon(secrets, enrollment.root);
  for (const each of replaced) await dropEnrollment(secrets, each);
  const [only, ...more] = others;
  const isSecond = !before.includes(recordName(enrollment)) && more.length === 0 && replaced.length === 0;
  if (isSecond && only && !makesSameClaims(only, enrollment)) await setDefaultDaemon(secrets, only.root);
}

export async function dropEnrollment(secrets: SecretStore, enrollment: RecordKey): Promise<void> {
  await dropSecret(secrets, recordName(enrollment));
  if (enrollment.state === 'paired') await dropEndpoints(secrets, enrollment.root);
  if (enrollment.state === 'paired' && (await storedDefault(secrets)) === enrollment.root)
    await dropSecret(secrets, defaultName);
}

/** Whether one daemon could be mistaken for the other by its own claims. */
export function makesSameClaims(one: Enrollment, other: Enrollment): boolean {
  return (
    one.daemonId === other.daemonId || one.trustDomain === other.trustDomain || one.address === other.address
  );
}

/** The root of the default daemon; undefined if the person must name a daemon. */
export async function defaultDaemon(
  secrets: SecretReader,
  records: readonly Enrollment[],
): Promise<string | undefined> {
  const root = await storedDefault(secrets);
  return records.some((each) => each.root === root) ? root : undefined;
}

export async function setDefaultDaemon(secrets: SecretStore, root: string): Promise<void> {
  await secrets.write(defaultName, new TextEncoder().encode(root));
}

async function storedDefault(secrets: SecretReader): Promise<string | undefined> {
  try {
    return new TextDecoder().decode(await secrets.read(defaultName));
  } catch (error) {
    if (!hasCode(error, 'SECRET_NOT_FOUND')) throw error;
    return undefined;
  }
}

/** All records, pending and paired. @throws SECRET_CORRUPT */
export async function loadEnrollments(secrets: SecretReader): Promise<Enrollment[]> {
  const enrollments: Enrollment[] = [];
  for (const name of await secrets.list(prefix)) {
    const text = new TextDecoder().decode(await secrets.read(name));
    try {
      const enrollment: Enrollment = JSON.parse(text, (_key, value) =>
        typeof value?.bytes === 'string' ? fromBase64(value.bytes) : value,
      );
      if (recordName(enrollment) !== name) throw new RangeError('it belongs to another root');
      const isPaired = enrollment.state === 'paired';
      const endpoints = isPaired ? await loadEndpoints(secrets, enrollment.root) : {};
      enrollments.push(Object.assign(enrollment, endpoints));
    } catch (cause) {
      throw new IdentityError('SECRET_CORRUPT', `The record ${name} cannot be read.`, {
        cause,
        about: 'device_record',
      });
    }
  }
  return enrollments;
}

const toBase64 = (bytes: Uint8Array): string => btoa(byteText(bytes));

const fromBase64 = (text: string): Uint8Array =>
  Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
