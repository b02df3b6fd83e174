// The listeners for paired devices: the node listener, and the same services over QUIC. Both have the same options
// (rpc/src/connections/device-listener.ts).

import type { ConnectRouter } from '@connectrpc/connect';
import { hasCode } from '@palyra/identity';
import { type EndpointLists, formatEndpoint } from '@palyra/identity/values';
import { UnfinishedBytes } from '@palyra/rpc/portable';
import {
  type CallObserver,
  type DeviceListener,
  type DeviceTrust,
  defaultHttp2Limits,
  Http2Listener,
  healthRoutes,
  type ListenerEvent,
  type ListenerOptions,
  type OwnServices,
  type PeerAuthenticator,
  reflectionRoutes,
} from '@palyra/rpc/transport';
import { QuicDeviceListener } from '@palyra/transport-quic';
import { type AdminServiceOptions, adminRoutes } from '../admin/routes.ts';
import type { DeviceChannels } from '../channels/device-channels.ts';
import type { DaemonConfig } from '../config.ts';
import { refuseLogin } from '../console/console.ts';
import type { DaemonMetrics } from '../metrics/metrics.ts';
import type { Membership } from '../peers/membership.ts';
import { peerRoutes } from '../peers/peer-service.ts';
import { withoutQuic } from '../problems.ts';
import type { DaemonCredential } from '../start/credential.ts';
import { atOnce, type Run } from '../start/run.ts';
import type { Stores } from '../start/stores.ts';
import { nodeRoutes } from './node-service.ts';
import type { OpenListeners } from './open-listeners.ts';
import { listenAt, quicPlace } from './places.ts';
import { StartGate } from './start-gate.ts';
import { strangerLimits } from './stranger-limits.ts';

export interface DeviceListenersOptions {
  readonly stores: Stores;
  readonly own: OwnServices;
  readonly channels: DeviceChannels;
  readonly credential: DaemonCredential;
  readonly metrics: DaemonMetrics;
  readonly observe: CallObserver;
  readonly admin: Omit<AdminServiceOptions, 'consoleLogin'>;
  readonly listeners: OpenListeners;
  /** The endpoints that devices get. */
  readonly endpoints: () => Promise<EndpointLists>;
  /** Undefined for a daemon that is alone. */
  readonly membership: Membership | undefined;
}

/** The options that listeners for devices share, whatever their transport. */
export type ForDevices = Omit<ListenerOptions, 'host' | 'port'> & { readonly devices: DeviceTrust };

/** @returns the gate, which admits nobody until it is opened, and the options for further device listeners. */
export async function listenForDevices(
  options: DeviceListenersOptions,
  run: Run,
): Promise<{ readonly gate: StartGate; readonly forDevices: ForDevices }> {
  const { stores, own, channels, credential, admin, metrics, observe, listeners, membership } = options;
  const { config, identity } = stores;
  const gate = new StartGate(identity);
  const shared: ForDevices = {
    credential: credential.current,
    devices: { trustBundle: identity.trustBundle, authenticator: gate },
    routes: (router: ConnectRouter) => {
      nodeRoutes(identity, channels, options.endpoints)(router);
      adminRoutes({ ...admin, consoleLogin: refuseLogin })(router);
      healthRoutes(run.stopping)(router);
      reflectionRoutes(router);
      own.routes(router);
    },
    ownCalls: { access: own.access, stopping: run.stopping },
    unfinished: new UnfinishedBytes(),
    onInternal: run.onError,
    observe,
    clock: run.clock,
  };
  const count = (name: string) => (event: ListenerEvent) => metrics.countListener(name, event);
  const node = await listenNode(config, {
    ...shared,
    ...(membership && forPeers(shared, channels, membership)),
    onEvent: count('node'),
  });
  run.undo(() => node.close(atOnce));
  listeners.add({
    name: 'node',
    address: formatEndpoint({ host: config.node.host, port: node.port }),
    tls: node,
    close: (until) => node.close(until),
  });
  const quic = config.quic.enabled
    ? await listenQuic(config, { ...shared, onEvent: count('quic') }, listeners)
    : undefined;
  if (quic) {
    run.undo(() => quic.close(atOnce));
    listeners.add({
      name: 'quic',
      address: formatEndpoint({ host: quicPlace(config).host, port: quic.port }),
      tls: quic,
      close: (until) => quic.close(until),
    });
  }
  run.undo(() => channels.close());
  run.undo(() => gate.shut());
  // Subscribed before anybody can pair or decide, so that the first change also takes effect.
  for (const each of [node, quic, channels])
    if (each) run.undo(identity.registry.enforce((event) => each.apply(event)));
  return { gate, forDevices: shared };
}

/** Other daemons of the fleet call at the node listener. */
function forPeers(shared: ForDevices, channels: DeviceChannels, peers: PeerAuthenticator) {
  const routes = (router: ConnectRouter) => {
    shared.routes(router);
    peerRoutes(channels)(router);
  };
  return { routes, peers };
}

function listenNode(
  config: DaemonConfig,
  shared: ForDevices & { readonly peers?: PeerAuthenticator },
): Promise<DeviceListener> {
  const limits = { connections: config.limits.nodeConnections, ...strangerLimits(config) };
  return listenAt(
    { name: 'node', ...config.node },
    Http2Listener.listen({ ...shared, ...config.node, limits }),
  );
}

/** @returns undefined if this machine has no QUIC library; devices then use HTTP/2. */
async function listenQuic(
  config: DaemonConfig,
  shared: ForDevices,
  listeners: OpenListeners,
): Promise<DeviceListener | undefined> {
  const { host, port } = quicPlace(config);
  const limits = {
    maxConnections: config.limits.quicConnections,
    handshakeTimeoutMs: config.limits.handshakeTimeoutMs,
    idleTimeoutMs: config.limits.quicIdleTimeoutMs,
  };
  const { runtime } = config.quic;
  const { messageBytes } = defaultHttp2Limits;
  try {
    return await listenAt(
      { name: 'quic', host, port },
      QuicDeviceListener.listen({ ...shared, host, port, runtime, limits, messageBytes }),
    );
  } catch (error) {
    if (!hasCode(error, 'QUIC_UNAVAILABLE')) throw error;
    const problem = withoutQuic(error);
    shared.onInternal(problem, 'starting QUIC');
    listeners.problems.push({ part: 'quic', error: problem });
    return undefined;
  }
}
