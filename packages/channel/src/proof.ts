// Who is on the other end of a channel: the payloads of the second and third handshake message. Each side proves with the key
// of its certificate that the static key of this handshake is its own. docs/channel.md 3.

import { IdentityError, lvCat, lvSplit } from '@palyra/identity/portable';
import type { Awaitable } from './noise/crypto.ts';

/** What a channel is for: `node` between a paired device and its daemon, `pair` before that. */
export type ChannelPurpose = 'node' | 'pair';
export type ChannelRole = 'daemon' | 'device';

const protocol = 'palyra-channel-v1';
/** Certificates of a payload: the leaf and its issuing CA. */
const certificates = 2;
const signatureBytes = 64;
const settingsBytes = 2;

/** What a side proves itself with. */
export interface OwnProof {
  /** Leaf, then issuing CA; DER. */
  readonly chain: readonly Uint8Array[];
  /** ECDSA P-256 with SHA-256 by the leaf's key: r and s, 64 bytes. */
  sign(data: Uint8Array): Awaitable<Uint8Array>;
}

/**
 * Judges the other side's chain.
 *
 * @returns the leaf's key, SubjectPublicKeyInfo; undefined where nobody is known yet: then nothing is concluded from the
 *   certificates. @throws what refuses it.
 */
export type JudgePeer = (chain: readonly Uint8Array[]) => Awaitable<Uint8Array | undefined>;

/** Sec-WebSocket-Protocol (RFC 6455 11.3.4). */
export const subprotocolOf = (purpose: ChannelPurpose): string => `${protocol}.${purpose}`;

/** Of Noise: a message of one purpose is of no use for another. */
export const prologueOf = (purpose: ChannelPurpose): Uint8Array => lvCat(protocol, purpose);

/** What the leaf's key signs. */
export const staticKeyInput = (
  purpose: ChannelPurpose,
  role: ChannelRole,
  staticKey: Uint8Array,
): Uint8Array => lvCat(`${protocol} static key`, prologueOf(purpose), role, staticKey);

export interface DaemonPayload {
  readonly chain: readonly Uint8Array[];
  readonly signature: Uint8Array;
  /** Streams that the device may have open at one time. */
  readonly maxStreams: number;
}

export type DevicePayload = Omit<DaemonPayload, 'maxStreams'>;

export function encodeDaemonPayload({ chain, signature, maxStreams }: DaemonPayload): Uint8Array {
  const [leaf, issuing] = pairOf(chain);
  return lvCat(leaf, issuing, signature, Uint8Array.of(maxStreams >> 8, maxStreams & 0xff));
}

/** @throws MESSAGE_INVALID */
export function decodeDaemonPayload(payload: Uint8Array): DaemonPayload {
  const fields = lvSplit(payload, certificates + 2);
  const [high, low, ...more] = fields[certificates + 1]!;
  if (high === undefined || low === undefined || more.length > 0)
    throw invalid(`settings that have not ${settingsBytes} bytes`);
  const maxStreams = high * 256 + low;
  if (maxStreams === 0) throw invalid('a daemon that serves nothing');
  return { ...proofIn(fields), maxStreams };
}

export function encodeDevicePayload({ chain, signature }: DevicePayload): Uint8Array {
  const [leaf, issuing] = pairOf(chain);
  return lvCat(leaf, issuing, signature);
}

/** @throws MESSAGE_INVALID */
export function decodeDevicePayload(payload: Uint8Array): DevicePayload {
  return proofIn(lvSplit(payload, certificates + 1));
}

function pairOf([leaf, issuing]: readonly Uint8Array[]): [leaf: Uint8Array, issuing: Uint8Array] {
  if (!leaf || !issuing) throw new TypeError('a chain is a leaf and its issuing CA');
  return [leaf, issuing];
}

function proofIn(fields: readonly Uint8Array[]): DevicePayload {
  const signature = fields[certificates]!;
  if (signature.length !== signatureBytes) throw invalid(`a signature that has not ${signatureBytes} bytes`);
  return { chain: fields.slice(0, certificates), signature };
}

function invalid(what: string): IdentityError {
  return new IdentityError('MESSAGE_INVALID', `The handshake cannot be read: ${what}.`);
}
