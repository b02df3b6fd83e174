// The three messages that make a channel of a socket, on both sides. docs/channel.md 3.

import { hasCode, IdentityError } from '@palyra/identity/portable';
import type { Inbox, MessageSocket } from './message-socket.ts';
import type { ChannelCrypto, KeyPair } from './noise/crypto.ts';
import { type Agreed, Handshake } from './noise/handshake.ts';
import { webCrypto } from './noise/web-crypto.ts';
import {
  type ChannelPurpose,
  decodeDaemonPayload,
  decodeDevicePayload,
  encodeDaemonPayload,
  encodeDevicePayload,
  type JudgePeer,
  type OwnProof,
  prologueOf,
  staticKeyInput,
} from './proof.ts';

const nothing = new Uint8Array();
/** The first message is a key and nothing else. */
const firstBytes = 32;

interface Keys {
  /** Default: WebCrypto. */
  readonly crypto?: ChannelCrypto;
  /** For the worked example of docs/channel.md. Default: fresh ones. */
  readonly staticKey?: KeyPair;
  readonly ephemeralKey?: KeyPair;
}

export interface DeviceSide extends Keys {
  readonly purpose: ChannelPurpose;
  /** Absent for `pair`. */
  readonly proof?: OwnProof;
  readonly judge: JudgePeer;
}

export interface DaemonSide extends Keys {
  readonly purpose: ChannelPurpose;
  readonly proof: OwnProof;
  /** Not asked for `pair`. */
  readonly judge: JudgePeer;
  readonly maxStreams: number;
}

/**
 * @returns how many streams the daemon serves at one time, beside the keys.
 * @throws DAEMON_NOT_AUTHENTICATED, UNREACHABLE; what `judge` throws.
 */
export async function agreeAsDevice(
  socket: MessageSocket,
  inbox: Inbox,
  side: DeviceSide,
): Promise<{ readonly agreed: Agreed; readonly maxStreams: number }> {
  const { purpose, proof, judge, crypto = webCrypto } = side;
  const handshake = await Handshake.start({ ...side, role: 'initiator', prologue: prologueOf(purpose) });
  await socket.send(await handshake.write(nothing));
  const payload = await readOr(handshake, await inbox.next());
  const { chain, signature, maxStreams } = decodeDaemonPayload(payload);
  const key = await judge(chain);
  const signed = staticKeyInput(purpose, 'daemon', handshake.remoteStaticKey!);
  if (key && !(await crypto.verifyP256(key, signed, signature)))
    throw notAuthenticated('its certificate is not for the key it speaks with');
  // Not before the daemon is known: the device's certificate says who it is.
  const mine = proof
    ? encodeDevicePayload({
        chain: proof.chain,
        signature: await proof.sign(staticKeyInput(purpose, 'device', handshake.staticKey)),
      })
    : nothing;
  await socket.send(await handshake.write(mine));
  return { agreed: await handshake.finish(), maxStreams };
}

export interface Accepted {
  readonly agreed: Agreed;
  /** Empty for `pair`. */
  readonly chain: readonly Uint8Array[];
  /** The device's certificate does not hold. Only the channel can tell it so that it believes it. */
  readonly refusal: IdentityError | undefined;
}

/** @throws MESSAGE_INVALID for a peer that does not speak the protocol, or is not who its certificate names. */
export async function agreeAsDaemon(
  socket: MessageSocket,
  inbox: Inbox,
  side: DaemonSide,
): Promise<Accepted> {
  const { purpose, proof, maxStreams } = side;
  // First: for whoever says nothing, no key is made.
  const first = await inbox.next();
  if (first.length !== firstBytes) throw invalid('a first message of another length');
  const handshake = await Handshake.start({ ...side, role: 'responder', prologue: prologueOf(purpose) });
  await readOr(handshake, first);
  const signature = await proof.sign(staticKeyInput(purpose, 'daemon', handshake.staticKey));
  await socket.send(
    await handshake.write(encodeDaemonPayload({ chain: proof.chain, signature, maxStreams })),
  );
  const payload = await readOr(handshake, await inbox.next());
  if (purpose === 'pair') {
    if (payload.length > 0) throw invalid('a certificate where none is expected');
    return { agreed: await handshake.finish(), chain: [], refusal: undefined };
  }
  if (payload.length === 0) {
    const refusal = new IdentityError('CERTIFICATE_MISSING', 'The daemon requires a certificate.');
    return { agreed: await handshake.finish(), chain: [], refusal };
  }
  const device = decodeDevicePayload(payload);
  const signed = staticKeyInput(purpose, 'device', handshake.remoteStaticKey!);
  const refusal = await refusalOf(side, device.chain, signed, device.signature);
  return { agreed: await handshake.finish(), chain: device.chain, refusal };
}

async function refusalOf(
  { judge, crypto = webCrypto }: DaemonSide,
  chain: readonly Uint8Array[],
  signed: Uint8Array,
  signature: Uint8Array,
): Promise<IdentityError | undefined> {
  try {
    const key = await judge(chain);
    if (key && (await crypto.verifyP256(key, signed, signature))) return undefined;
    return new IdentityError(
      'CERTIFICATE_INVALID',
      'The certificate is not for the key that this channel was made with.',
    );
  } catch (error) {
    if (error instanceof IdentityError) return error;
    throw error;
  }
}

/** Whatever a message that cannot be read is: cut off, changed, of another channel, or of another protocol. */
async function readOr(handshake: Handshake, message: Uint8Array): Promise<Uint8Array> {
  try {
    return await handshake.read(message);
  } catch (cause) {
    throw new IdentityError(
      'MESSAGE_INVALID',
      'The handshake cannot be read: it was changed on its way, or is not of this protocol.',
      { cause },
    );
  }
}

/** What a device says of a daemon that it could not agree with. */
export function dialError(cause: unknown): unknown {
  if (hasCode(cause, 'MESSAGE_INVALID')) return notAuthenticated('its handshake cannot be read', cause);
  return cause;
}

export function notAuthenticated(why: string, cause?: unknown): IdentityError {
  const message = `The peer at this address is not the daemon this device was paired with (${why}), or something in between changes what they say.`;
  return new IdentityError('DAEMON_NOT_AUTHENTICATED', message, { cause });
}

function invalid(what: string): IdentityError {
  return new IdentityError('MESSAGE_INVALID', `The peer broke the protocol: ${what}.`);
}
