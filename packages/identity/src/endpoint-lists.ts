// Where a daemon says that devices reach its listeners: several endpoints of each, in the order in which they are tried. The
// list is only as good as the connection that it came over, and what is in it proves nothing: whoever answers there has to be
// the daemon all the same.

import { formatEndpoint, MAX_ENDPOINT_LENGTH, parseEndpoint } from './endpoint.ts';
import { IdentityError } from './errors.ts';
import { parseWebEndpoint } from './web-endpoint.ts';

/** Of each, host:port in its one form; of `web`, a URL. Empty: on the host that the device was paired at. */
export interface EndpointLists {
  readonly pairing: readonly string[];
  readonly node: readonly string[];
  readonly quic: readonly string[];
  readonly web: readonly string[];
}

export type ListenerKind = keyof EndpointLists;

export const listenerKinds: readonly ListenerKind[] = ['pairing', 'node', 'quic', 'web'];

/** Of one listener. */
export const MAX_ENDPOINTS = 8;

/** @throws MESSAGE_INVALID for what is no endpoint, has the zone of one machine, or is too long or too many. */
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

/** One that means the same on every machine. @throws MESSAGE_INVALID */
export function parseSharedEndpoint(text: string): string {
  if (text.length > MAX_ENDPOINT_LENGTH)
    throw new IdentityError('MESSAGE_INVALID', `An endpoint has at most ${MAX_ENDPOINT_LENGTH} characters.`);
  const endpoint = parseEndpoint(text);
  if (!endpoint.host.includes('%')) return formatEndpoint(endpoint);
  throw new IdentityError('MESSAGE_INVALID', 'The zone of an address means nothing on another machine.');
}
