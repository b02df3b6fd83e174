// The endpoints that a daemon announces to devices: several for each listener, in the order in which devices try them.
// A device accepts a list only over an authenticated connection, and a list proves nothing: the server at an endpoint
// must still prove that it is the daemon.

import { formatEndpoint, MAX_ENDPOINT_LENGTH, parseEndpoint } from './endpoint.ts';
import { IdentityError } from './errors.ts';
import { parseWebEndpoint } from './web-endpoint.ts';

/** Endpoints of each listener in canonical form: host:port, or a URL for `web`. Empty: the host of the pairing. */
export interface EndpointLists {
  readonly pairing: readonly string[];
  readonly node: readonly string[];
  readonly quic: readonly string[];
  readonly web: readonly string[];
}

export type ListenerKind = keyof EndpointLists;

export const listenerKinds: readonly ListenerKind[] = ['pairing', 'node', 'quic', 'web'];

/** Most endpoints of one listener. */
export const MAX_ENDPOINTS = 8;

/** @throws MESSAGE_INVALID for an invalid endpoint, the zone of one machine, or a list or text that is too long. */
export function parseEndpointLists(lists: Partial<EndpointLists>): EndpointLists {
  const parsed = listenerKinds.map((kind) => [
    kind,
    parseList(lists[kind] ?? [], kind === 'web' ? parseWebEndpoint : parseSharedEndpoint),
  ]);
  return Object.fromEntries(parsed) as unknown as EndpointLists;
}

function parseList(list: readonly string[], parse: (text: string) => string): string[] {
  if (list.length > MAX_ENDPOINTS)
    throw new IdentityError('MESSAGE_INVALID', `A listener has at most ${MAX_ENDPOINTS} endpoints.`);
  return [...new Set(list.map(parse))];
}

/** Parses an endpoint that has the same meaning on every machine. @throws MESSAGE_INVALID */
export function parseSharedEndpoint(text: string): string {
  if (text.length > MAX_ENDPOINT_LENGTH)
    throw new IdentityError('MESSAGE_INVALID', `An endpoint has at most ${MAX_ENDPOINT_LENGTH} characters.`);
  const endpoint = parseEndpoint(text);
  if (!endpoint.host.includes('%')) return formatEndpoint(endpoint);
  throw new IdentityError('MESSAGE_INVALID', 'The zone of an address has no meaning on another machine.');
}
