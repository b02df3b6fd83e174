// The handshake of three messages that opens a channel on a socket, for both sides. docs/channel.md 3.

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
/** The first message is only a key. */
const firstBytes = 32;

interface Keys {
  /** Default: WebCrypto. */
  readonly crypto?: ChannelCrypto;
  /** For the worked example of docs/channel.md. Default: new keys. */
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
  /** Not called for `pair`. */
  readonly judge: JudgePeer;
  readonly maxStreams: number;
}

/**
 * @returns the keys, and how many streams the daemon serves at one time.
 * @throws DAEMON_NOT_AUTHENTICATED, UNREACHABLE; errors of `judge`.
 */
export async function agreeAsDevice(
  socket: MessageSocket,
  inbox: Inbox,
  side: DeviceSide,
): Promise<{ readonly agreed: Agreed; readonly maxStreams: number }> {
  const { purpose, proof, judge, crypto = webCrypto } = side;
  const handshake = await Handshake.start({ ...side, role: 'initiator', prologue: prologueOf(purpose) });
  await socket.send(await handshake.write(nothing));
  const payload = await readMessage(handshake, await inbox.next());
  const { chain, signature, maxStreams } = decodeDaemonPayload(payload);
  const key = await judge(chain);
  const signed = staticKeyInput(purpose, 'daemon', handshake.remoteStaticKey!);
  if (key && !(await crypto.verifyP256(key, signed, signature)))
    throw notAuthenticated('its certificate does not belong to the key of this channel');
  // Sent only after the daemon is authenticated, because the certificate identifies the device.
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
  /** Why the device's certificate is invalid. Sent over the channel, because the device believes only a daemon that it has authenticated. */
  readonly refusal: IdentityError | undefined;
}

/** @throws MESSAGE_INVALID if the peer does not follow the protocol. */
export async function agreeAsDaemon(
  socket: MessageSocket,
  inbox: Inbox,
  side: DaemonSide,
): Promise<Accepted> {
  const { purpose, proof, maxStreams } = side;
  // Read before a key is generated, so that a silent peer costs no key.
  const first = await inbox.next();
  if (first.length !== firstBytes) throw invalid('a first message of another length');
  const handshake = await Handshake.start({ ...side, role: 'responder', prologue: prologueOf(purpose) });
  await readMessage(handshake, first);
  const signature = await proof.sign(staticKeyInput(purpose, 'daemon', handshake.staticKey));
  await socket.send(
    await handshake.write(encodeDaemonPayload({ chain: proof.chain, signature, maxStreams })),
  );
  const payload = await readMessage(handshake, await inbox.next());
  if (purpose === 'pair') {
    if (payload.length > 0) throw invalid('an unexpected certificate');
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
      'The certificate does not belong to the key of this channel.',
    );
  } catch (error) {
    if (error instanceof IdentityError) return error;
    throw error;
  }
}

/** Reads a handshake message. @throws MESSAGE_INVALID if it is truncated, changed, or from another channel or protocol. */
async function readMessage(handshake: Handshake, message: Uint8Array): Promise<Uint8Array> {
  try {
    return await handshake.read(message);
  } catch (cause) {
    throw new IdentityError(
      'MESSAGE_INVALID',
      'The handshake cannot be read: it was changed on its way, or belongs to another protocol.',
      { cause },
    );
  }
}

/** The device's error for a failed handshake. */
export function dialError(cause: unknown): unknown {
  if (hasCode(cause, 'MESSAGE_INVALID')) return notAuthenticated('its handshake cannot be read', cause);
  return cause;
}

export function notAuthenticated(why: string, cause?: unknown): IdentityError {
  const message = `The peer at this address is not the daemon that this device was paired with (${why}), or something in between changes their messages.`;
  return new IdentityError('DAEMON_NOT_AUTHENTICATED', message, { cause });
}

function invalid(what: string): IdentityError {
  return new IdentityError('MESSAGE_INVALID', `The peer broke the protocol: ${what}.`);
}
