// CPace, suite CPACE-X25519-SHA512, initiator/responder (draft-irtf-cfrg-cpace-21). The device is the initiator.

import { ed25519, _map_to_curve_elligator2_curve25519 as elligator2 } from '@noble/curves/ed25519.js';
import { bytesToNumberLE, concatBytes, numberToBytesLE } from '@noble/curves/utils.js';
import type { DeviceCrypto } from '../crypto/port.ts';
import { IdentityError } from '../errors.ts';
import { lvCat } from '../lv.ts';

const dsi = 'CPace255';
/** s_in_bytes of SHA-512: its input block. */
const hashBlockBytes = 128;
const fieldBytes = 32;
const Fp = ed25519.Point.Fp;

export interface CpaceInput {
  /** Password-related string: the code's secret. */
  readonly prs: Uint8Array;
  /** Channel identifier. */
  readonly ci: Uint8Array;
  /** Session identifier. */
  readonly sid: Uint8Array;
}

/** One side's ephemeral scalar and the public share it sends. */
export interface CpaceShare {
  readonly scalar: Uint8Array;
  readonly share: Uint8Array;
}

/** G.calculate_generator, section 7.2: a u-coordinate that only a holder of the code can compute. */
export async function calculateGenerator(crypto: DeviceCrypto, input: CpaceInput): Promise<Uint8Array> {
  const lengthOf = (part: Uint8Array | string) => lvCat(part).length;
  const padding = Math.max(0, hashBlockBytes - 1 - lengthOf(input.prs) - lengthOf(dsi));
  const generatorString = lvCat(dsi, input.prs, new Uint8Array(padding), input.ci, input.sid);
  const hashed = (await crypto.sha512(generatorString)).slice(0, fieldBytes);
  // decodeUCoordinate of RFC 7748 with 255 bits: the top bit is not used.
  hashed[fieldBytes - 1]! &= 0x7f;
  const { xMn, xMd } = elligator2(Fp.create(bytesToNumberLE(hashed)));
  return numberToBytesLE(Fp.mul(xMn, Fp.inv(xMd)), fieldBytes);
}

/** A new scalar and its share on the generator. */
export async function makeShare(crypto: DeviceCrypto, input: CpaceInput): Promise<CpaceShare> {
  const generator = await calculateGenerator(crypto, input);
  const scalar = crypto.randomBytes(fieldBytes);
  return { scalar, share: await scalarMultVfy(crypto, scalar, generator) };
}

/**
 * G.scalar_mult_vfy, section 7.2.
 * @throws MESSAGE_INVALID when the point is not 32 bytes or the result is the neutral element: the run must abort.
 */
export async function scalarMultVfy(
  crypto: DeviceCrypto,
  scalar: Uint8Array,
  point: Uint8Array,
): Promise<Uint8Array> {
  const result = point.length === fieldBytes ? await crypto.x25519(scalar, point) : undefined;
  if (!result)
    throw new IdentityError('MESSAGE_INVALID', 'The pairing message holds an invalid curve point.');
  return result;
}

/** The exchanged public values, as both sides saw them. */
export interface CpaceExchange {
  readonly ya: Uint8Array;
  readonly adA: Uint8Array;
  readonly yb: Uint8Array;
  readonly adB: Uint8Array;
}

/** The intermediate session key, 64 bytes: H(lv_cat(DSI || "_ISK", sid, K) || transcript_ir), section 6.2. */
export async function sessionKey(
  crypto: DeviceCrypto,
  sid: Uint8Array,
  k: Uint8Array,
  exchange: CpaceExchange,
): Promise<Uint8Array> {
  return crypto.sha512(
    concatBytes(
      lvCat(`${dsi}_ISK`, sid, k),
      lvCat(exchange.ya, exchange.adA),
      lvCat(exchange.yb, exchange.adB),
    ),
  );
}
