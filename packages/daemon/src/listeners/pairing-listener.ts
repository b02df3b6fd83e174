// The listener at which any device may pair or recover a certificate.

import type { ConnectRouter } from '@connectrpc/connect';
import { type EndpointLists, formatEndpoint, MAX_PAIRING_MESSAGE_BYTES } from '@palyra/identity/values';
import { UnfinishedBytes } from '@palyra/rpc/portable';
import { type CallObserver, Http2Listener } from '@palyra/rpc/transport';
import type { DaemonMetrics } from '../metrics/metrics.ts';
import type { DaemonCredential } from '../start/credential.ts';
import { atOnce, type Run } from '../start/run.ts';
import type { Stores } from '../start/stores.ts';
import type { OpenLimit } from './open-limit.ts';
import type { OpenListeners } from './open-listeners.ts';
import { pairingRoutes } from './pairing-service.ts';
import { listenAt } from './places.ts';
import { strangerLimits } from './stranger-limits.ts';

/** Strangers have separate limits, so that they take nothing from devices. */
export const strangersUnfinished = {
  sessionBytes: 256 * 1024,
  ownerBytes: 2 * 1024 * 1024,
  totalBytes: 32 * 1024 * 1024,
};

export interface PairingListenerOptions {
  readonly stores: Stores;
  readonly credential: DaemonCredential;
  readonly openLimit: OpenLimit;
  readonly metrics: DaemonMetrics;
  readonly observe: CallObserver;
  readonly listeners: OpenListeners;
  /** The endpoints that devices get. */
  readonly endpoints: () => Promise<EndpointLists>;
}

/** The services that anybody may call, over any transport. */
export function routesForAnybody(
  options: Pick<PairingListenerOptions, 'stores' | 'openLimit' | 'listeners' | 'endpoints'>,
  run: Run,
): (router: ConnectRouter) => void {
  const { stores, openLimit, listeners, endpoints } = options;
  return pairingRoutes({
    identity: stores.identity,
    openLimit,
    nodePort: () => listeners.portOf('node'),
    quicPort: () => listeners.portOf('quic'),
    endpoints,
    stopping: run.stopping,
  });
}

export async function listenForPairing(options: PairingListenerOptions, run: Run): Promise<void> {
  const { stores, credential, metrics, observe, listeners } = options;
  const { config, identity } = stores;
  const pairing = await listenAt(
    { name: 'pairing', ...config.pairing },
    Http2Listener.listen({
      ...config.pairing,
      credential: credential.current,
      unfinished: new UnfinishedBytes(strangersUnfinished),
      routes: routesForAnybody(options, run),
      channelEnded: (channel) => identity.responder.channelEnded(channel),
      limits: {
        connections: config.limits.pairingConnections,
        ...strangerLimits(config),
        messageBytes: MAX_PAIRING_MESSAGE_BYTES,
        streamsPerSession: 8,
        waitingStreams: 24,
      },
      onInternal: run.onError,
      observe,
      onEvent: (event) => metrics.countListener('pairing', event),
      clock: run.clock,
    }),
  );
  run.undo(() => pairing.close(atOnce));
  listeners.add({
    name: 'pairing',
    address: formatEndpoint({ host: config.pairing.host, port: pairing.port }),
    tls: pairing,
    close: (until) => pairing.close(until),
  });
}
