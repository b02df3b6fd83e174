// The address of a listener: the only place that reads and writes host:port. Endpoints are stored, sent and shown as
// text in canonical form, and split only to connect or listen.

import { IdentityError } from './errors.ts';

export interface Endpoint {
  /** A name in lower case, an IPv4 address, or an IPv6 address without brackets, with its zone if there is one. */
  readonly host: string;
  readonly port: number;
}

/** Longest endpoint as text, in characters: the longest name and a port. */
export const MAX_ENDPOINT_LENGTH = 259;

/**
 * Reads `host:port`, `[IPv6]:port` or `[IPv6%zone]:port`; with a default port also `host`, `IPv6`, `[IPv6]`.
 * @throws MESSAGE_INVALID
 */
export function parseEndpoint(text: string, defaultPort?: number): Endpoint {
  const [, inBrackets, plain, digits] = shape.exec(text) ?? [];
  const bare = defaultPort !== undefined && text.includes('::') ? ipv6(text) : undefined;
  const host = bare ?? (inBrackets !== undefined ? ipv6(inBrackets) : plain && nameOrIpv4(plain));
  const port = bare === undefined && digits !== undefined ? Number(digits) : defaultPort;
  if (text.length > MAX_ENDPOINT_LENGTH || !host || port === undefined || port < 1 || port > 65535)
    throw new IdentityError(
      'MESSAGE_INVALID',
      'This is not an address. An address is host:port or [IPv6]:port.',
    );
  return { host, port };
}

const shape = /^(?:\[([^\]]+)\]|([A-Za-z0-9._-]{1,253}))(?::([0-9]{1,5}))?$/;

export function formatEndpoint({ host, port }: Endpoint): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}

/** Whether the text is an endpoint in canonical form. */
export function isCanonicalEndpoint(text: string): boolean {
  try {
    return formatEndpoint(parseEndpoint(text)) === text;
  } catch {
    return false;
  }
}

/** The endpoint of another port on the same host. */
export function withPort(endpoint: string, port: number): string {
  return formatEndpoint({ ...parseEndpoint(endpoint), port });
}

/** The text for `:authority` and URLs, without a zone, which has no meaning on another machine (RFC 6874, 1). */
export function authorityOf(endpoint: string): string {
  const { host, port } = parseEndpoint(endpoint);
  return formatEndpoint({ host: host.split('%')[0]!, port });
}

const octet = '(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])';
const ipv4 = new RegExp(`^${octet}(?:\\.${octet}){3}$`);

/** Refuses other names that end in a number, because some resolvers take them for IPv4: `10.1` is `10.0.0.1`. */
function nameOrIpv4(text: string): string | undefined {
  if (ipv4.test(text)) return text;
  return /(?:^|\.)(?:[0-9]+|0x[0-9a-f]*)\.?$/i.test(text) ? undefined : text.toLowerCase();
}

/** The canonical form, so that two spellings are the same endpoint. */
function ipv6(text: string): string | undefined {
  const [, address, zone] = /^([0-9A-Fa-f:.]+)(%[A-Za-z0-9._~-]{1,64})?$/.exec(text) ?? [];
  if (!address?.includes(':') || !URL.canParse(`http://[${address}]`)) return undefined;
  return `${new URL(`http://[${address}]`).hostname.slice(1, -1)}${zone ?? ''}`;
}
