// Dials a name with several addresses in the order of RFC 8305, and takes the first address that completes `connect`. Node's own
// method takes the first address that accepts TCP, and gives up each address but the last after a quarter of a second.

import { lookup } from 'node:dns/promises';
import { isIP, isIPv6 } from 'node:net';
import { hasCode, IdentityError } from '@palyra/identity';
import { reasonOf } from '@palyra/identity/values';

/** "Connection Attempt Delay", RFC 8305, 8. */
const attemptDelayMs = 250;
/** Addresses tried for one name. Further addresses are ignored. */
const maxAddresses = 8;
const lookupTimeoutMs = 10_000;

/**
 * @param host a name, or a single address.
 * @param connect connects to one address. Its errors count when no address answers.
 * @param discard ends a connection that was too late.
 * @throws an error of the attempts, if possible one that is more precise than UNREACHABLE; UNREACHABLE for a name without address.
 */
export async function dialAddresses<T>(
  host: string,
  connect: (address: string, signal: AbortSignal) => Promise<T>,
  discard: (late: T) => void,
): Promise<T> {
  const addresses = isIP(host) ? [host] : interleaved(await addressesOf(host));
  return race(addresses, connect, discard);
}

/** Alternates the address families, beginning with the family of the first address (RFC 8305, 4). */
export function interleaved(addresses: readonly string[]): string[] {
  const isFirst = isIPv6(addresses[0] ?? '');
  const [same, other] = [true, false].map((which) =>
    addresses.filter((address) => (isIPv6(address) === isFirst) === which),
  ) as [string[], string[]];
  const inTurn = same.flatMap((address, at) => [address, ...other.slice(at, at + 1)]);
  return [...inTurn, ...other.slice(same.length)].slice(0, maxAddresses);
}

/** Begins with the next address when the last attempt has failed, or has not answered for a while. */
export function race<T>(
  addresses: readonly string[],
  connect: (address: string, signal: AbortSignal) => Promise<T>,
  discard: (late: T) => void,
): Promise<T> {
  const over = new AbortController();
  const errors: unknown[] = [];
  let begun = 0;
  let timer: NodeJS.Timeout | undefined;
  return new Promise<T>((resolve, reject) => {
    const next = () => {
      clearTimeout(timer);
      const address = addresses[begun];
      if (address === undefined || over.signal.aborted) return;
      begun += 1;
      if (begun < addresses.length) timer = setTimeout(next, attemptDelayMs);
      connect(address, over.signal).then(
        (connection) => {
          if (over.signal.aborted) return discard(connection);
          clearTimeout(timer);
          resolve(connection);
          over.abort();
        },
        (error) => {
          errors.push(error);
          if (errors.length === addresses.length)
            reject(errors.find((each) => !hasCode(each, 'UNREACHABLE')) ?? errors[0]);
          next();
        },
      );
    };
    next();
  });
}

async function addressesOf(host: string): Promise<string[]> {
  const { promise, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error('timed out')), lookupTimeoutMs);
  try {
    const found = await Promise.race([lookup(host, { all: true, order: 'verbatim' }), promise]);
    // Without an address no attempt would ever end.
    if (found.length === 0) throw new Error('it has no address');
    return [...new Set(found.map(({ address }) => address))];
  } catch (cause) {
    throw new IdentityError('UNREACHABLE', `The name ${host} cannot be resolved (${reasonOf(cause)}).`, {
      cause,
    });
  } finally {
    clearTimeout(timer);
  }
}
