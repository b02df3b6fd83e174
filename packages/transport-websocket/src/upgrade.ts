// Who may open a WebSocket: what is decided from the request alone, before anything of it is served. docs/channel.md 2.

import type { IncomingMessage } from 'node:http';
import { BlockList, isIP, isIPv6 } from 'node:net';
import { type ChannelPurpose, subprotocolOf } from '@palyra/channel';
import { sourceKey } from '@palyra/rpc/transport';

/** What a client says that is no page of a browser. No browser writes this, whatever a page asks of it. */
export const deviceOrigin = 'palyra://device';

export interface UpgradeRules {
  /** Where the channel is. Default: `/channel`. */
  readonly path?: string;
  /** Origins of pages and extensions that may, as browsers write them. Default: none. */
  readonly origins?: readonly string[];
  /** Addresses of reverse proxies, whose `X-Forwarded-For` is believed. Default: none. */
  readonly proxies?: readonly string[];
  /** What channels are for here. Default: `node`. */
  readonly purposes?: readonly ChannelPurpose[];
}

export interface Upgrade {
  readonly purpose: ChannelPurpose;
  readonly subprotocol: string;
  /** The peer's address: its own, or what a proxy says. */
  readonly address: string;
  /** For limits. */
  readonly source: string;
}

export interface Refusal {
  /** Of HTTP. */
  readonly status: 400 | 403 | 404;
  readonly why: string;
}

export const defaultPath = '/channel';

export class UpgradeCheck {
  readonly #path: string;
  readonly #origins: ReadonlySet<string>;
  readonly #proxies: BlockList | undefined;
  readonly #purposes: readonly ChannelPurpose[];

  constructor({ path = defaultPath, origins = [], proxies = [], purposes = ['node'] }: UpgradeRules) {
    this.#path = path;
    this.#origins = new Set([...origins, deviceOrigin]);
    this.#purposes = purposes;
    if (proxies.length === 0) return;
    this.#proxies = new BlockList();
    for (const proxy of proxies) this.#proxies.addAddress(proxy, familyOf(proxy));
  }

  isPath(url: string | undefined): boolean {
    // A query would end up in logs of proxies, and nobody has a use for one.
    return url === this.#path;
  }

  /** Browsers send an origin with every WebSocket, and no page can choose it. */
  of(request: IncomingMessage): Upgrade | Refusal {
    if (!this.isPath(request.url)) return { status: 404, why: 'There is nothing here.' };
    const { origin } = request.headers;
    if (origin === undefined || !this.#origins.has(origin))
      return { status: 403, why: 'This origin may not open a channel.' };
    const offered = (request.headers['sec-websocket-protocol'] ?? '').split(',').map((each) => each.trim());
    const purpose = this.#purposes.find((each) => offered.includes(subprotocolOf(each)));
    if (!purpose) return { status: 400, why: 'None of the offered protocols is spoken here.' };
    const address = this.#addressOf(request);
    return { purpose, subprotocol: subprotocolOf(purpose), address, source: sourceKey(address) };
  }

  /** The last hop that is no proxy of ours: what stands before it, anybody may have written. */
  #addressOf({ socket, headers }: IncomingMessage): string {
    let address = plain(socket.remoteAddress ?? '');
    const forwarded = [headers['x-forwarded-for'] ?? []].flat().join(',').split(',');
    while (this.#proxies?.check(address, familyOf(address))) {
      const hop = plain(withoutPort((forwarded.pop() ?? '').trim()));
      if (isIP(hop) === 0 || hop.includes('%')) break;
      address = hop;
    }
    return address;
  }
}

const familyOf = (address: string) => (isIPv6(address) ? 'ipv6' : 'ipv4');

const plain = (address: string) => address.replace(/^::ffff:(?=\d+\.)/i, '');

/** Some proxies write one: it is another for each connection, and none of them is a source of its own. */
const withoutPort = (hop: string) => hop.replace(/^(?:\[([^\]]*)\]|(\d+(?:\.\d+){3}))(?::\d+)?$/, '$1$2');
