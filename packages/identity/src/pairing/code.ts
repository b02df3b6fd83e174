// The two shapes of a pairing code: `<slot>-<pin>` to type, and a `palyra:` URI for a QR code (docs/pairing.md, 2).

import { bytesToHex, hexToBytes } from '@noble/curves/utils.js';
import type { PairingCrypto } from '../crypto/port.ts';
import { isCanonicalEndpoint } from '../endpoint.ts';
import { IdentityError } from '../errors.ts';
import { INVISIBLE } from '../visible-text.ts';

const slotDigits = 3;
const pinDigits = 6;
const qrSlotBytes = 16;
const qrSecretBytes = 32;
const fingerprintBytes = 32;
const maxCodeLength = 512;
/** Allows an invisible character after each character. */
const maxPastedLength = 2 * maxCodeLength;
const encoder = new TextEncoder();

/** A code on the device. */
export interface PairingCode {
  readonly kind: 'typed' | 'qr';
  /** The slot in `Open`. */
  readonly slot: Uint8Array;
  /** CPace's password-related string. */
  readonly secret: Uint8Array;
  /** The address, only in a QR code. */
  readonly address?: string;
  /** SHA-256 of the root certificate, only in a QR code. */
  readonly rootFingerprint?: Uint8Array;
}

/** @returns slot as text (the registry's key), and the secret's bytes: the PIN's ASCII digits. */
export function makeTypedSecret(crypto: PairingCrypto): { slot: string; secret: Uint8Array } {
  const digits = (count: number) => String(crypto.randomInt(10 ** count)).padStart(count, '0');
  return { slot: digits(slotDigits), secret: encoder.encode(digits(pinDigits)) };
}

export function makeQrSecret(crypto: PairingCrypto): { slot: string; secret: Uint8Array } {
  return { slot: bytesToHex(crypto.randomBytes(qrSlotBytes)), secret: crypto.randomBytes(qrSecretBytes) };
}

/** The registry's key for the slot on the wire. Undefined for a length or bytes that no code has. */
export function slotKey(slot: Uint8Array): string | undefined {
  if (slot.length === qrSlotBytes) return bytesToHex(slot);
  if (slot.length !== slotDigits) return undefined;
  const text = String.fromCharCode(...slot);
  return /^[0-9]+$/.test(text) ? text : undefined;
}

export function formatTypedCode(slot: string, secret: Uint8Array): string {
  return `${slot}-${String.fromCharCode(...secret)}`;
}

export function formatQrUri(
  address: string,
  slot: string,
  secret: Uint8Array,
  rootFingerprint: Uint8Array,
): string {
  const [s, k, r] = [hexToBytes(slot), secret, rootFingerprint].map(base64url);
  return `palyra:pair?a=${encodeURIComponent(address)}&s=${s}&k=${k}&r=${r}`;
}

/**
 * Reads a typed or pasted code: with or without the dash and spaces, or as the whole URI, including changes by
 * messengers and keyboards.
 * @throws CODE_MALFORMED
 */
export function parsePairingCode(input: string): PairingCode {
  if (input.length > maxPastedLength) throw malformed();
  const text = input.replaceAll(invisible, '').replaceAll(fullWidth, ascii).replaceAll(dashes, '-').trim();
  if (text.length > maxCodeLength) throw malformed();
  if (text.startsWith('palyra:')) return parseQrUri(text);
  const digits = text.replaceAll(/[\s-]/g, '');
  if (!/^[0-9]{9}$/.test(digits)) throw malformed();
  return {
    kind: 'typed',
    slot: encoder.encode(digits.slice(0, slotDigits)),
    secret: encoder.encode(digits.slice(slotDigits)),
  };
}

/** Marks of order and direction, places to break a line, a soft hyphen. */
const invisible = new RegExp(`[${INVISIBLE}]`, 'gu');
/** Full-width letters, digits and signs from East Asian keyboards. */
const fullWidth = /[\uff01-\uff5e]/g;
const ascii = (character: string) => String.fromCharCode(character.charCodeAt(0) - 0xfee0);
/** Includes minus, hyphen bullet, modifier minus, and the long vowel mark on the same key of a Japanese keyboard. */
const dashes = /[\p{Pd}\u2212\u2043\u02d7\u30fc\uff70]/gu;

/** The only spelling that `formatQrUri` writes: four fields in order, each value in its canonical form. */
function parseQrUri(text: string): PairingCode {
  const [, address, slot, secret, root] = qrUri.exec(text) ?? [];
  if (address === undefined || slot === undefined || secret === undefined || root === undefined)
    throw malformed();
  const code = {
    kind: 'qr' as const,
    address: decodeAddress(address),
    slot: fromBase64url(slot, qrSlotBytes),
    secret: fromBase64url(secret, qrSecretBytes),
    rootFingerprint: fromBase64url(root, fingerprintBytes),
  };
  if (!isCanonicalEndpoint(code.address)) throw malformed();
  const { address: at, slot: named, rootFingerprint } = code;
  if (formatQrUri(at, bytesToHex(named), code.secret, rootFingerprint) !== text) throw malformed();
  return code;
}

const qrUri =
  /^palyra:pair\?a=([A-Za-z0-9._%-]+)&s=([A-Za-z0-9_-]{22})&k=([A-Za-z0-9_-]{43})&r=([A-Za-z0-9_-]{43})$/;

function decodeAddress(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw malformed();
  }
}

function base64url(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes))
    .replaceAll('+', '-')
    .replaceAll('/', '_')
    .replaceAll('=', '');
}

function fromBase64url(text: string, bytes: number): Uint8Array {
  const binary = atob(text.replaceAll('-', '+').replaceAll('_', '/'));
  if (binary.length !== bytes) throw malformed();
  return Uint8Array.from(binary, (char) => char.charCodeAt(0));
}

function malformed(): IdentityError {
  return new IdentityError(
    'CODE_MALFORMED',
    'That is not a pairing code. Type the nine digits shown by the daemon (like 123-456789), or paste the whole palyra: URI.',
  );
}
