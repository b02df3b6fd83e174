// Serves channels over WebSockets: the services of the node listener for devices, and of the pairing listener for anybody.

import { type EndpointLists, formatEndpoint, MAX_PAIRING_MESSAGE_BYTES } from '@palyra/identity/values';
import { UnfinishedBytes } from '@palyra/rpc/portable';
import { defaultHttp2Limits } from '@palyra/rpc/transport';
import { ChannelDeviceListener } from '@palyra/transport-websocket';
import type { DaemonMetrics } from '../metrics/metrics.ts';
import { atOnce, type Run } from '../start/run.ts';
import type { Stores } from '../start/stores.ts';
import type { ForDevices } from './device-listeners.ts';
import type { OpenLimit } from './open-limit.ts';
import type { OpenListeners } from './open-listeners.ts';
import { routesForAnybody, strangersUnfinished } from './pairing-listener.ts';
import { listenAt } from './places.ts';
import { strangerLimits } from './stranger-limits.ts';

export interface WebListenerOptions {
  readonly stores: Stores;
  readonly forDevices: ForDevices;
  readonly openLimit: OpenLimit;
  readonly metrics: DaemonMetrics;
  readonly listeners: OpenListeners;
  /** The endpoints that devices get. */
  readonly endpoints: () => Promise<EndpointLists>;
}

export async function listenForWeb(
  { stores, forDevices, openLimit, metrics, listeners, endpoints }: WebListenerOptions,
  run: Run,
): Promise<void> {
  const { config, identity } = stores;
  const { port, ...web } = config.web;
  const { strangersPerSource, strangerIdleMs, handshakeTimeoutMs } = strangerLimits(config);
  if (port === undefined) return;
  const listener = await listenAt(
    { name: 'web', host: web.host, port },
    ChannelDeviceListener.listen({
      ...forDevices,
      ...web,
      port,
      messageBytes: defaultHttp2Limits.messageBytes,
      pairing: {
        routes: routesForAnybody({ stores, openLimit, listeners, endpoints }, run),
        messageBytes: MAX_PAIRING_MESSAGE_BYTES,
        unfinished: new UnfinishedBytes(strangersUnfinished),
        channelEnded: (channel) => identity.responder.channelEnded(channel),
      },
      limits: {
        maxConnections: config.limits.webConnections,
        maxHandshakesPerSource: strangersPerSource,
        handshakeTimeoutMs,
        idleTimeoutMs: config.limits.webIdleTimeoutMs,
      },
      strangerIdleMs,
      onEvent: (event) => metrics.countListener('web', event),
    }),
  );
  run.undo(() => listener.close(atOnce));
  // No revocation is missed before this subscription, because devices still wait at the gate.
  run.undo(identity.registry.enforce((event) => listener.apply(event)));
  listeners.add({
    name: 'web',
    address: `ws://${formatEndpoint({ host: web.host, port: listener.port })}${web.path}`,
    tls: listener,
    close: (until) => listener.close(until),
  });
}
