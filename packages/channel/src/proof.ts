// Authenticates both ends of a channel, in the payloads of the second and third handshake message. Each side signs its static
// key of this handshake with the key of its certificate. docs/channel.md 3.

import { IdentityError, lvCat, lvSplit } from '@palyra/identity/portable';
import type { Awaitable } from './noise/crypto.ts';

/** The purpose of a channel: `node` between a paired device and its daemon, `pair` before pairing. */
export type ChannelPurpose = 'node' | 'pair';
export type ChannelRole = 'daemon' | 'device';

const protocol = 'palyra-channel-v1';
/** Number of certificates in a payload: the leaf and its issuing CA. */
const certificates = 2;
const signatureBytes = 64;
const settingsBytes = 2;

/** The certificates and the signing key of one side. */
export interface OwnProof {
  /** Leaf, then issuing CA; DER. */
  readonly chain: readonly Uint8Array[];
  /** Signs with the leaf's key, ECDSA P-256 with SHA-256. @returns r and s, 64 bytes. */
  sign(data: Uint8Array): Awaitable<Uint8Array>;
}

/**
 * Judges the other side's chain.
 *
 * @returns the leaf's key as SubjectPublicKeyInfo. Undefined if no peer is known yet: the certificates then prove nothing.
 * @throws the reason to refuse the peer.
 */
export type JudgePeer = (chain: readonly Uint8Array[]) => Awaitable<Uint8Array | undefined>;

/** Sec-WebSocket-Protocol (RFC 6455 11.3.4). */
export const subprotocolOf = (purpose: ChannelPurpose): string => `${protocol}.${purpose}`;

/** The Noise prologue. It makes messages of one purpose invalid for another. */
export const prologueOf = (purpose: ChannelPurpose): Uint8Array => lvCat(protocol, purpose);

/** The bytes that the leaf's key signs. */
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
    throw invalid(`settings whose length is not ${settingsBytes} bytes`);
  const maxStreams = high * 256 + low;
  if (maxStreams === 0) throw invalid('a daemon that allows no streams');
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
  if (signature.length !== signatureBytes)
    throw invalid(`a signature whose length is not ${signatureBytes} bytes`);
  return { chain: fields.slice(0, certificates), signature };
}

function invalid(what: string): IdentityError {
  return new IdentityError('MESSAGE_INVALID', `The handshake cannot be read: ${what}.`);
}
