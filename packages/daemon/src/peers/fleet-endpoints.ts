// The endpoints of a fleet: where devices reach this daemon, and the list that a device gets, with those of the other daemons.

import { type EndpointLists, listenerKinds, MAX_ENDPOINTS } from '@palyra/identity/values';
import type { DaemonConfig } from '../config.ts';
import type { OpenListeners } from '../listeners/open-listeners.ts';
import { quicPlace } from '../listeners/places.ts';
import { shownAddress } from '../shown-address.ts';

/** The configured endpoints of this daemon; for a listener without any, its address on this machine. */
export function ownEndpoints(config: DaemonConfig, listeners: Pick<OpenListeners, 'portOf'>): EndpointLists {
  const { pairing, node, quic, web } = config.endpoints;
  const here = (host: string, name: 'pairing' | 'node' | 'quic' | 'web') => {
    const port = listeners.portOf(name);
    // The zone of an address has no meaning on another machine.
    return port > 0 ? [shownAddress(host, port)].filter((address) => !address.includes('%')) : [];
  };
  return {
    pairing: pairing.length > 0 ? pairing : here(config.pairing.host, 'pairing'),
    node: node.length > 0 ? node : here(config.node.host, 'node'),
    quic: quic.length > 0 ? quic : here(quicPlace(config).host, 'quic'),
    web: web.length > 0 ? web : here(config.web.host, 'web').map((each) => `ws://${each}${config.web.path}`),
  };
}

/** Where other daemons reach the node listener: its address on this machine, then the configured endpoints. */
export function peerAddresses(config: DaemonConfig, listeners: Pick<OpenListeners, 'portOf'>): string[] {
  const here = ownEndpoints({ ...config, endpoints: { ...config.endpoints, node: [] } }, listeners).node;
  return [...new Set([...here, ...config.endpoints.node])];
}

/** The list for a device: first those of the daemon that it talks to, so that it comes back to where it was. */
export function fleetEndpoints(own: EndpointLists, others: readonly EndpointLists[]): EndpointLists {
  const lists = listenerKinds.map((kind) => {
    // One of each daemon before the second of any.
    const rounds = Array.from({ length: MAX_ENDPOINTS }, (_, at) =>
      others.flatMap((each) => each[kind][at] ?? []),
    );
    return [kind, [...new Set([...own[kind], ...rounds.flat()])].slice(0, MAX_ENDPOINTS)];
  });
  return Object.fromEntries(lists) as unknown as EndpointLists;
}
