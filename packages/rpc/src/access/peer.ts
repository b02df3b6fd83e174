// The caller of a call. Listeners establish the caller and set it in the context; handlers read it there.

import {
  type ContextValues,
  createContextKey,
  createContextValues,
  type HandlerContext,
} from '@connectrpc/connect';
import type { AuthenticatedDevice } from '@palyra/identity';
import type { PairingChannel } from '@palyra/identity/pairing';
import type { Actor, LocalPlace } from '@palyra/identity/registry';
import type { TransportWord } from '../wire-enums.ts';

export type Peer =
  /** An unknown peer, on a TLS channel of the pairing listener. */
  | { readonly caller: 'anyone'; readonly channel: PairingChannel }
  | {
      readonly caller: 'device';
      /** Undefined once the registry has admitted this connection. @throws the code of a refusal, now or later. */
      readonly admitted: () => Promise<void> | undefined;
      /** Asks the registry now. Throws a code when the device is shut out. */
      readonly check: () => Promise<AuthenticatedDevice>;
      /** Grows with every revocation of any device. While it is unchanged, the last check was valid at `upToDate`. */
      readonly epoch: () => number;
      /** Resolves when `epoch` counts every revocation from before this call. Undefined if it does already. */
      readonly upToDate: () => Promise<void> | undefined;
      /** Aborted when this connection is shut out. The reason is an IdentityError. */
      readonly ended: AbortSignal;
      /** Aborted when the device loses the operator role. A device that gets the role again gets a new signal. */
      readonly roleEnded: () => AbortSignal;
      readonly transport: TransportWord;
      /** The peer's address. */
      readonly source: string;
      /** The web origin that the peer sent, if it is a browser. */
      readonly origin: string | undefined;
    }
  /** Another daemon of the fleet. */
  | {
      readonly caller: 'peer';
      /** Undefined once this connection has passed a check. @throws the code of a refusal. */
      readonly admitted: () => Promise<void> | undefined;
      /** Asks the registry now. Throws a code if the daemon is not one of the fleet. */
      readonly check: () => Promise<void>;
    }
  /** The operator at the daemon's machine. */
  | { readonly caller: 'operator'; readonly at: Exclude<LocalPlace, 'program'> };

export type DevicePeer = Extract<Peer, { caller: 'device' }>;

const peerKey = createContextKey<Peer | undefined>(undefined, { description: 'the authenticated peer' });
const deviceKey = createContextKey<AuthenticatedDevice | undefined>(undefined, {
  description: 'the device, as checked for this call',
});

export function contextOf(peer: Peer): ContextValues {
  return createContextValues().set(peerKey, peer);
}

export function peerIn(values: ContextValues): Peer | undefined {
  return values.get(peerKey);
}

export function setDevice(values: ContextValues, device: AuthenticatedDevice): void {
  values.set(deviceKey, device);
}

/** The calling device. For handlers that only devices can call. */
export function callingDevice(context: HandlerContext): AuthenticatedDevice {
  const device = context.values.get(deviceKey);
  if (!device) throw new TypeError('this handler is not behind the access check for devices');
  return device;
}

/** The operator of this call. A device is given with its certificate, which may be revoked before the change is made. */
export function actorOf(context: HandlerContext): Actor {
  const peer = peerIn(context.values);
  if (peer?.caller === 'operator') return { kind: 'local', at: peer.at };
  const { deviceId, serial } = callingDevice(context);
  return { kind: 'device', deviceId, serial };
}

/** Whether an operator's call came from a device. */
export function isRemote(context: HandlerContext): boolean {
  return peerIn(context.values)?.caller !== 'operator';
}

/** Returns the TLS channel of a pairing call. */
export function pairingChannel(context: HandlerContext): PairingChannel {
  const peer = peerIn(context.values);
  if (peer?.caller !== 'anyone') throw new TypeError('this handler is not on the pairing listener');
  return peer.channel;
}

/** The transport, source address and web origin of a device's call. */
export function cameOver(context: HandlerContext): Pick<DevicePeer, 'transport' | 'source' | 'origin'> {
  const peer = peerIn(context.values);
  if (peer?.caller !== 'device')
    throw new TypeError('this handler is not behind the access check for devices');
  return peer;
}
