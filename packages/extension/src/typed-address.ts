// The address of a channel from what a person types: often a host alone.

import { parsePairingCode } from '@palyra/identity/device-portable';

const isLocal = (host: string) => /^(?:localhost|127\.[\d.]+|\[::1\])(?::|\/|$)/i.test(host);

/** @param code a `palyra:` URI names a host as well, which counts where no address is given. */
export function addressOf(typed: string, code: string): string {
  const text = typed.trim() || hostOf(code) || '';
  if (text === '' || /^wss?:\/\//i.test(text)) return text;
  const rest = text.replace(/^https?:\/\//i, '');
  return `${isLocal(rest) ? 'ws' : 'wss'}://${rest}`;
}

/** The host in a `palyra:` URI, which has the port of the pairing listener; a channel is behind another one. */
export function hostOf(code: string): string | undefined {
  try {
    return parsePairingCode(code).address?.replace(/:\d+$/, '');
  } catch {
    return undefined;
  }
}
