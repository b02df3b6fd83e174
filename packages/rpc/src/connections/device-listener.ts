// A listener for devices, over any transport. Every transport has two files, one for each end:
//
//   HTTP/2   rpc/src/http2/listener.ts        rpc/src/http2/dialer.ts
//   QUIC     transport-quic/src/listener.ts   transport-quic/src/dialer.ts
//   channel  transport-websocket/src/listener.ts, dialer.ts
//
// This file holds what the listeners share: their options, their counters and their interface for the daemon.
// tests/connections/device-listeners.test.ts tests every listener.

import type { ConnectRouter } from '@connectrpc/connect';
import type { ServerCredential } from '@palyra/identity';
import type { RegistryEvent } from '@palyra/identity/registry';
import type { Clock } from '@palyra/identity/values';
import type { OwnCalls } from '../access/access.ts';
import type { CallObserver } from '../calls/call-observer.ts';
import type { UnfinishedBytes } from '../calls/unfinished-bytes.ts';
import type { DeviceAuthenticator } from './device-connections.ts';

export interface DeviceListener {
  /** 0 while the listener cannot listen again after a new certificate. */
  readonly port: number;
  /** Live connections. */
  readonly connections: number;
  /** New connections see the new certificate, and are checked against these roots. */
  swapCredential(credential: ServerCredential, trustBundle: readonly Uint8Array[]): void | Promise<void>;
  /** Immediately shuts the connections affected by a change of the registry. */
  apply(event: RegistryEvent): void;
  /** Stops listening, notifies every peer and lets running calls end. Cuts the remaining connections when `until` is aborted. */
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
  /** Access to the routes outside the daemon's own services. Default: all calls are refused. */
  readonly ownCalls?: OwnCalls;
  /** Bytes that incomplete messages may hold, shared with other listeners. Default: a bound of this listener's own. */
  readonly unfinished?: UnfinishedBytes;
  /** The wall clock, so that jumps are noticed. */
  readonly clock: Clock;
  /** Called for accepted, refused and broken connections. Default: none. */
  readonly onEvent?: (event: ListenerEvent) => void;
  /** Observes every call. Default: none. */
  readonly observe?: CallObserver;
  /** Called for bugs and failing stores. The peer learns only the code. */
  readonly onInternal: (error: unknown, where: string) => void;
}

/** Mutual TLS. */
export interface DeviceTrust {
  /** Roots that clients' chains may lead to, DER. */
  readonly trustBundle: readonly Uint8Array[];
  /** Checks each device, at its connection and at each call. */
  readonly authenticator: DeviceAuthenticator;
}

/** Checks another daemon of the fleet, at each of its calls. */
export interface PeerAuthenticator {
  /** @param fingerprint of its certificate. @throws a code if it is not a daemon of the fleet now. */
  authenticateDaemon(fingerprint: string): Promise<{ readonly id: string }>;
}

/** Events that a listener counts. */
export type ListenerEvent =
  | 'accepted'
  /** A connection over a limit. */
  | 'refused_limit'
  | 'refused_no_certificate'
  | 'refused_foreign_certificate'
  /** A certificate of ours that is no longer valid. */
  | 'refused_standing'
  | 'handshake_timeout'
  | 'tls_error'
  | 'protocol_error'
  /** A session that sent more control frames than it may. */
  | 'flood';

/** Counts an event. Ignores errors of the counter, so that they do not keep a refused connection open. */
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
