// The interfaces that multicast DNS uses.

import { type NetworkInterfaceInfo, networkInterfaces } from 'node:os';

export type Family = 'IPv4' | 'IPv6';

export interface LanInterface {
  readonly name: string;
  readonly family: Family;
  /** The argument for `addMembership` and `setMulticastInterface`. */
  readonly handle: string;
  readonly addresses: readonly NetworkInterfaceInfo[];
}

const maxInterfaces = 32;

/** Excludes loopback. Includes IPv6 only on interfaces with a link-local address, which is the sender. */
export function lanInterfaces(): LanInterface[] {
  try {
    return Object.entries(networkInterfaces())
      .flatMap(([name, all]) =>
        (['IPv4', 'IPv6'] as const).map((family) => onInterface(name, family, all ?? [])),
      )
      .filter((each) => each !== undefined)
      .slice(0, maxInterfaces);
  } catch {
    // A sandbox may hide the interfaces from this process.
    return [];
  }
}

function onInterface(
  name: string,
  family: Family,
  all: readonly NetworkInterfaceInfo[],
): LanInterface | undefined {
  const addresses = all.filter((each) => each.family === family && !each.internal);
  const [first] = addresses;
  if (!first || (family === 'IPv6' && !addresses.some(({ address }) => /^fe[89ab]/i.test(address))))
    return undefined;
  return { name, family, handle: family === 'IPv4' ? first.address : `::%${name}`, addresses };
}
