// The address that operators and QR codes show if the configuration names no endpoint: the address of this machine that
// other machines are most likely to reach. Looked up each time, because interfaces come and go.

import { isIPv4, isIPv6 } from 'node:net';
import { type NetworkInterfaceInfo, networkInterfaces } from 'node:os';
import { formatEndpoint } from '@palyra/identity/values';

export type Interfaces = NodeJS.Dict<readonly NetworkInterfaceInfo[]>;

/** @param host the host that the listener binds. */
export function shownAddress(host: string, port: number): string {
  return formatEndpoint({ host: isWildcard(host) ? bestAddress(interfacesHere(), host) : host, port });
}

const isWildcard = (host: string) => host === '::' || host === '0.0.0.0';

function interfacesHere(): Interfaces {
  try {
    return networkInterfaces();
  } catch {
    // A sandbox may hide the interfaces from this process. The operator can then set `endpoints.pairing`.
    return {};
  }
}

/** @param host `0.0.0.0` restricts the result to IPv4. */
export function bestAddress(interfaces: Interfaces, host: string): string {
  const candidates = Object.entries(interfaces)
    .flatMap(([name, addresses]) => (addresses ?? []).map((each) => ({ ...each, name })))
    .filter(({ address }) => host === '::' || isIPv4(address))
    .map((each) => ({ text: textOf(each), rank: rankOf(each) }))
    .sort((one, other) => one.rank - other.rank);
  return candidates[0]?.text ?? '127.0.0.1';
}

type Candidate = NetworkInterfaceInfo & { readonly name: string };

const textOf = ({ address, name }: Candidate) => (isLinkLocal6(address) ? `${address}%${name}` : address);

/** Ranks by interface first, then by kind of address. The system's order decides between equals. */
function rankOf({ address, name, internal }: Candidate): number {
  return kinds.findIndex((kind) => kind(address)) + kinds.length * placeOf(name, internal);
}

const isLinkLocal6 = (address: string) => /^fe[89ab]/i.test(address);
const isLinkLocal4 = (address: string) => address.startsWith('169.254.');

/** Best first. */
const kinds: readonly ((address: string) => boolean)[] = [
  (address) => isIPv4(address) && !isLinkLocal4(address),
  (address) => isIPv6(address) && !isLinkLocal6(address),
  isLinkLocal4,
  isLinkLocal6,
];

/** Interfaces of containers and virtual machines, which no other machine can reach. */
const bridge = /^(?:docker|br-|veth|virbr|lxcbr|lxdbr|incusbr|cni|cali|flannel|podman|vnet|vmnet|vboxnet)/;
/** Interfaces that only members of the same VPN can reach. */
const tunnel = /^(?:tun|tap|utun|wg|ppp|tailscale|zt|nebula)/;

function placeOf(name: string, internal: boolean): number {
  if (internal) return 3;
  if (bridge.test(name)) return 2;
  return tunnel.test(name) ? 1 : 0;
}
