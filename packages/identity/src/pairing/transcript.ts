// The byte strings that a pairing hashes, authenticates and signs (docs/pairing.md, section 4). Both sides build them
// only here.

import { wordlist } from '@scure/bip39/wordlists/english.js';
import type { DeviceCrypto } from '../crypto/port.ts';
import type { DeviceKind } from '../fleet/device.ts';
import { lvCat } from '../lv.ts';
import { type CpaceExchange, sessionKey } from './cpace.ts';

export const PAIRING_VERSION = 2;
const protocol = 'palyra-pairing-v2';
const keyBytes = 32;

/** CPace's CI: this TLS channel, this root, this kind of client. */
export function channelIdentifier(
  channelBinding: Uint8Array,
  rootFingerprint: Uint8Array,
  kind: DeviceKind,
): Uint8Array {
  return lvCat(protocol, channelBinding, rootFingerprint, kind);
}

/** Bytes of the nonce in the commitment. */
export const COMMITMENT_NONCE_BYTES = 32;

/** The daemon's commitment to its share and hello before it sees the device's (docs/pairing.md 4.4), 32 bytes. */
export async function commitmentTo(
  crypto: DeviceCrypto,
  opened: { readonly yb: Uint8Array; readonly adB: Uint8Array; readonly nonce: Uint8Array },
): Promise<Uint8Array> {
  return crypto.sha256(lvCat(`${protocol} commitment`, opened.yb, opened.adB, opened.nonce));
}

/** The facts of a session that both sides know before the device's share. */
export interface PairingSession {
  readonly ci: Uint8Array;
  readonly sid: Uint8Array;
  readonly commitment: Uint8Array;
}

/** Everything that both sides derive once they share K. */
export interface PairingKeys {
  /** SHA-256 over the whole exchange, 32 bytes. */
  readonly transcript: Uint8Array;
  readonly daemonConfirmation: Uint8Array;
  readonly deviceConfirmation: Uint8Array;
  /** Key for the proof of `Await`, 32 bytes. */
  readonly awaitKey: Uint8Array;
  /** Three words, for people to compare. */
  readonly words: string;
}

export async function derivePairingKeys(
  crypto: DeviceCrypto,
  session: PairingSession,
  k: Uint8Array,
  exchange: CpaceExchange,
): Promise<PairingKeys> {
  const { ci, sid, commitment } = session;
  const { ya, adA, yb, adB } = exchange;
  const isk = await sessionKey(crypto, sid, k, exchange);
  const transcript = await crypto.sha256(
    lvCat(`${protocol} transcript`, ci, sid, commitment, ya, adA, yb, adB),
  );
  const derive = (label: string, length: number) =>
    crypto.hkdfSha512(isk, lvCat(`${protocol} ${label}`, transcript), length);
  return {
    transcript,
    daemonConfirmation: await crypto.hmacSha256(await derive('daemon confirmation', keyBytes), transcript),
    deviceConfirmation: await crypto.hmacSha256(await derive('device confirmation', keyBytes), transcript),
    awaitKey: await derive('await', keyBytes),
    words: wordsOf(await derive('words', 6)),
  };
}

/** Three words of the BIP-39 English list, 11 bits each: 33 bits from 6 bytes. */
function wordsOf(bytes: Uint8Array): string {
  return [0, 2, 4].map((at) => wordlist[((bytes[at]! << 8) | bytes[at + 1]!) & 2047]).join(' ');
}

/** The input for the signature by the device's Ed25519 identity key. */
export function identitySignatureInput(transcript: Uint8Array): Uint8Array {
  return lvCat(`${protocol} identity signature`, transcript);
}

/** The input for the signature by the device's P-256 TLS key, as proof of possession. */
export function tlsKeyProofInput(transcript: Uint8Array): Uint8Array {
  return lvCat(`${protocol} tls key proof`, transcript);
}

/** The input for the await key, which authenticates this request on this TLS channel. */
export function awaitProofInput(requestId: string, channelBinding: Uint8Array): Uint8Array {
  return lvCat(`${protocol} await proof`, requestId, channelBinding);
}
