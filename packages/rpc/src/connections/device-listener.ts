// A listener for devices, whatever carries its calls. Every transport has the same two files, for its two ends:
//
//   HTTP/2   rpc/src/http2/listener.ts        rpc/src/http2/dialer.ts
//   QUIC     transport-quic/src/listener.ts   transport-quic/src/dialer.ts
//   channel  transport-websocket/src/listener.ts, dialer.ts
//
// This file has what the listeners share: their options, what they count, and what the daemon does with them.
// tests/connections/device-listeners.test.ts runs over every one of them.

import type { ConnectRouter } from '@connectrpc/connect';
import type { ServerCredential } from '@palyra/identity';
import type { RegistryEvent } from '@palyra/identity/registry';
import type { Clock } from '@palyra/identity/values';
import type { OwnCalls } from '../access/access.ts';
import type { UnfinishedBytes } from '../calls/unfinished-bytes.ts';
import type { DeviceAuthenticator } from './device-connections.ts';

export interface DeviceListener {
  /** 0 while it cannot listen again after a new certificate. */
  readonly port: number;
  /** Live connections. */
  readonly connections: number;
  /** New connections see the new certificate, and are checked against these roots. */
  swapCredential(credential: ServerCredential, trustBundle: readonly Uint8Array[]): void | Promise<void>;
  /** Shuts at once the connections that a change of the registry concerns. */
  apply(event: RegistryEvent): void;
  /** Stops listening, tells every peer, lets running calls end, and cuts what is left when `until` says so. */
  close(until?: AbortSignal): Promise<void>;
}

export interface ListenerOptions {
  /** An IP address of this machine, or `0.0.0.0` or `::`. */
  readonly host: string;
  /** 0 lets the system choose. */
  readonly port: number;
  /** The daemon's certificate chain and key, until `swapCredential`. */
  readonly credential: ServerCredential;
  /** Registers the services. */
  readonly routes: (router: ConnectRouter) => void;
  /** For those of the routes that are not the daemon's own services. Default: nobody may call them. */
  readonly ownCalls?: OwnCalls;
  /** Bytes that incomplete messages may hold, shared with other listeners. Default: a bound of this listener's own. */
  readonly unfinished?: UnfinishedBytes;
  /** By the wall clock, so that one that jumps is noticed. */
  readonly clock: Clock;
  /** Called for accepted, refused and broken connections. Default: nobody is told. */
  readonly onEvent?: (event: ListenerEvent) => void;
  /** Bugs and failing stores; the peer is told nothing but the code. */
  readonly onInternal: (error: unknown, where: string) => void;
}

/** Mutual TLS. */
export interface DeviceTrust {
  /** Roots that clients' chains may lead to, DER. */
  readonly trustBundle: readonly Uint8Array[];
  /** Decides about each device, for its connection and for each call. */
  readonly authenticator: DeviceAuthenticator;
}

/** What a listener counts. */
export type ListenerEvent =
  | 'accepted'
  /** Over a limit of connections. */
  | 'refused_limit'
  | 'refused_no_certificate'
  | 'refused_foreign_certificate'
  /** One of ours that no longer holds. */
  | 'refused_standing'
  | 'handshake_timeout'
  | 'tls_error'
  | 'protocol_error'
  /** A session that sent more control frames than it may. */
  | 'flood';

/** Counts an event. Whoever counts decides nothing: one that throws keeps no refused connection open. */
export function countEvent(
  { onEvent, onInternal }: Pick<ListenerOptions, 'onEvent' | 'onInternal'>,
  event: ListenerEvent,
): void {
  try {
    onEvent?.(event);
  } catch (error) {
    onInternal(error, 'counting connections');
  }
}
