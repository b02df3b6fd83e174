// What the operator is shown, and QR codes carry, where the configuration names no endpoint: an address of this machine at
// which another one is likely to reach a listener. Looked up anew each time, because interfaces come and go.

import { isIPv4, isIPv6 } from 'node:net';
import { type NetworkInterfaceInfo, networkInterfaces } from 'node:os';
import { formatEndpoint } from '@palyra/identity/values';

export type Interfaces = NodeJS.Dict<readonly NetworkInterfaceInfo[]>;

/** @param host that the listener binds. */
export function shownAddress(host: string, port: number): string {
  return formatEndpoint({ host: isWildcard(host) ? bestAddress(interfacesHere(), host) : host, port });
}

const isWildcard = (host: string) => host === '::' || host === '0.0.0.0';

function interfacesHere(): Interfaces {
  try {
    return networkInterfaces();
  } catch {
    // A sandbox may keep them from this process. `endpoints.pairing` says it then.
    return {};
  }
}

/** @param host `0.0.0.0`: IPv4 only. */
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

/** The interface counts before the kind of address; the order of the system decides between equals. */
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

/** Of containers and virtual machines: nobody beyond this machine is on it. */
const bridge = /^(?:docker|br-|veth|virbr|lxcbr|lxdbr|incusbr|cni|cali|flannel|podman|vnet|vmnet|vboxnet)/;
/** Only those who are in it as well. */
const tunnel = /^(?:tun|tap|utun|wg|ppp|tailscale|zt|nebula)/;

function placeOf(name: string, internal: boolean): number {
  if (internal) return 3;
  if (bridge.test(name)) return 2;
  return tunnel.test(name) ? 1 : 0;
}
