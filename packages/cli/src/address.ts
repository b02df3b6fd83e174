// Where a daemon is, as a person writes it.

import { isIPv6 } from 'node:net';
import { isAddress } from '@palyra/identity';
import { CliError } from './failure.ts';

export const pairingPort = 7443;

/**
 * `host`, `host:port`, `::1`, `[::1]` or `[::1]:port` to host:port.
 * @throws USAGE
 */
export function parseAddress(text: string, defaultPort: number = pairingPort): string {
  const host = isIPv6(text) ? `[${text}]` : text;
  for (const candidate of [host, `${host}:${defaultPort}`]) if (isAddress(candidate)) return candidate;
  throw new CliError(
    'USAGE',
    `"${text}" is not an address. Write host or host:port, like 192.168.1.5:${defaultPort} or [::1]:${defaultPort}.`,
  );
}
