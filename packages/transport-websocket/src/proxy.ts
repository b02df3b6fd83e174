// Which HTTP proxy a channel goes through. The proxy only delivers messages, as everything between the two sides.

import { BlockList, isIP, isIPv6 } from 'node:net';
import { IdentityError } from '@palyra/identity';

export interface ProxyOptions {
  /** URL of an HTTP proxy, for `wss:` addresses. `host:port` means `http://host:port`. Default: none. */
  readonly proxy?: string | undefined;
  /**
   * Hosts that are reached without the proxy, as curl and Go read NO_PROXY: names with their subdomains, IP addresses, and
   * networks like 10.0.0.0/8, each with an optional `:port`; or `*`. Separated by commas or spaces. Default: none.
   */
  readonly noProxy?: string | undefined;
}

/** @returns URL of the proxy, or undefined for a direct connection. @throws UNREACHABLE if the proxy has no valid address. */
export function proxyFor(target: URL, { proxy, noProxy = '' }: ProxyOptions): string | undefined {
  if (!proxy || target.protocol !== 'wss:') return undefined;
  const host = bare(target.hostname);
  const port = target.port || '443';
  if (noProxy.split(/[\s,]+/).some((each) => each !== '' && covers(each.toLowerCase(), host, port)))
    return undefined;
  const url = URL.parse(/^[a-z][a-z0-9+.-]*:\/\//i.test(proxy) ? proxy : `http://${proxy}`);
  // Without this check, Node would connect directly.
  if (!url || !/^https?:$/.test(url.protocol))
    throw new IdentityError(
      'UNREACHABLE',
      'The HTTP proxy has no valid address. It must be a URL like http://proxy.example:3128.',
    );
  return url.href;
}

function covers(entry: string, host: string, port: string): boolean {
  if (entry === '*') return true;
  const [, name, ofPort] = /^(\[.*\]|[^:]*)(?::(\d+))?$/.exec(entry) ?? [undefined, entry, undefined];
  if (ofPort !== undefined && ofPort !== port) return false;
  const [address = '', bits] = bare(name!).split('/');
  if (isIP(address) === 0) {
    const domain = address.replace(/^\*?\./, '');
    return domain !== '' && bits === undefined && (host === domain || host.endsWith(`.${domain}`));
  }
  if (isIP(host) === 0) return false;
  const list = new BlockList();
  const longest = isIPv6(address) ? 128 : 32;
  const prefix = bits === undefined ? longest : Number(bits);
  if (!/^\d*$/.test(bits ?? '') || prefix > longest) return false;
  list.addSubnet(address, prefix, familyOf(address));
  return list.check(host, familyOf(host));
}

const familyOf = (address: string) => (isIPv6(address) ? 'ipv6' : 'ipv4');

/** Without the brackets of an IPv6 address and the dot at the end of a name. */
const bare = (host: string) => host.replace(/^\[(.*)\]/, '$1').replace(/\.$/, '');
