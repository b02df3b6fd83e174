// The address of a daemon, as a person writes it.

import { domainToASCII } from 'node:url';
import { formatEndpoint, isWebEndpoint, parseEndpoint, parseWebEndpoint } from '@palyra/identity/values';
import { CliError } from './failure.ts';
import { printable } from './printable.ts';

export const pairingPort = 7443;
export const nodePort = 7444;

/**
 * Turns `host`, `host:port`, or an IPv6 address (bare or `[::1]:port`, with or without a zone) into host:port.
 * @throws USAGE
 */
export function parseAddress(text: string, defaultPort: number = pairingPort): string {
  try {
    return formatEndpoint(parseEndpoint(inAscii(text), defaultPort));
  } catch {
    throw new CliError(
      'USAGE',
      `"${printable(text)}" is not an address. Write host or host:port, like 192.168.1.5:${defaultPort} or [::1]:${defaultPort}.`,
    );
  }
}

export interface PairingAddress {
  /** host:port of the pairing listener; of a channel, where that would be on the same host. */
  readonly host: string;
  /** URL of a channel. Absent: HTTP/2. */
  readonly web?: string;
}

/** What `parseAddress` takes, or `wss://host/path`. @throws USAGE */
export function parsePairingAddress(text: string): PairingAddress {
  if (!isWebEndpoint(text)) return { host: parseAddress(text) };
  const web = parseChannelUrl(text);
  return { host: parseAddress(new URL(web).hostname), web };
}

/** `wss://host/path`, in its one form. @throws USAGE */
export function parseChannelUrl(text: string): string {
  try {
    return parseWebEndpoint(text);
  } catch {
    throw new CliError(
      'USAGE',
      `"${printable(text)}" is not the address of a channel. Write wss://host/path, without a query.`,
    );
  }
}

/** A host name in another script, in the ASCII form that the DNS uses. */
function inAscii(text: string): string {
  const [, name, port = ''] = /^([^:[\]%]*[^\p{ASCII}][^:[\]%]*)(:[0-9]+)?$/u.exec(text) ?? [];
  return name === undefined ? text : `${domainToASCII(name)}${port}`;
}
