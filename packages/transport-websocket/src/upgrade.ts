// Decides from the HTTP request alone whether a client may open a WebSocket. docs/channel.md 2.

import { type IncomingMessage, STATUS_CODES } from 'node:http';
import { BlockList, isIP, isIPv6 } from 'node:net';
import type { Duplex } from 'node:stream';
import { type ChannelPurpose, subprotocolOf } from '@palyra/channel';
import { sourceKey } from '@palyra/rpc/transport';

/** The origin that clients other than browsers send. No page can make a browser send it. */
export const deviceOrigin = 'palyra://device';

export interface UpgradeRules {
  /** The path of the channel. Default: `/channel`. */
  readonly path?: string;
  /** Origins of pages and extensions that may open a channel, as browsers write them. Default: none. */
  readonly origins?: readonly string[];
  /** Addresses of reverse proxies whose `X-Forwarded-For` is trusted. Default: none. */
  readonly proxies?: readonly string[];
  /** The accepted purposes. Default: `node`. */
  readonly purposes?: readonly ChannelPurpose[];
}

export interface Upgrade {
  readonly purpose: ChannelPurpose;
  readonly subprotocol: string;
  /** The page or extension. Undefined for a client that is not a browser. */
  readonly origin: string | undefined;
  /** The peer's address, from the socket or from a trusted proxy. */
  readonly address: string;
  /** The key for limits per source. */
  readonly source: string;
}

export interface Refusal {
  /** HTTP status. */
  readonly status: 400 | 403 | 404 | 503;
  readonly why: string;
}

/** Sends the answer, and closes the connection. */
export function refuse(socket: Duplex, { status, why }: Refusal): void {
  const retry = status === 503 ? 'retry-after: 1\r\n' : '';
  socket.once('finish', () => socket.destroy());
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nconnection: close\r\n${retry}content-type: text/plain\r\ncontent-length: ${why.length}\r\n\r\n${why}`,
  );
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
    // Rejects queries: they have no use here, and would end up in the logs of proxies.
    return url === this.#path;
  }

  /**
   * Browsers send an origin with every WebSocket, and no page can choose it. Other programs send any origin.
   * @param head the bytes that arrived after the headers.
   */
  of(request: IncomingMessage, head: Uint8Array): Upgrade | Refusal {
    if (!this.isPath(request.url)) return { status: 404, why: 'Not found.' };
    const why = misshapen(request, head);
    if (why) return { status: 400, why };
    const { origin } = request.headers;
    if (origin === undefined || !this.#origins.has(origin))
      return { status: 403, why: 'This origin may not open a channel.' };
    const offered = (request.headers['sec-websocket-protocol'] ?? '').split(',').map((each) => each.trim());
    const purpose = this.#purposes.find((each) => offered.includes(subprotocolOf(each)));
    if (!purpose) return { status: 400, why: 'None of the offered protocols is supported.' };
    const address = this.#addressOf(request);
    return {
      purpose,
      subprotocol: subprotocolOf(purpose),
      origin: origin === deviceOrigin ? undefined : origin,
      address,
      source: sourceKey(address),
    };
  }

  /** The last hop that is not one of our proxies. Anybody may have written the earlier hops. */
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

/** Node's HTTP server does not check these for an upgrade, and neither does `ws`. RFC 6455 4.2.1, RFC 9112 3.2 and 6. */
function misshapen(request: IncomingMessage, head: Uint8Array): string | undefined {
  const { method, httpVersion, headersDistinct } = request;
  if (method !== 'GET') return 'A channel is opened by GET.';
  if (httpVersion !== '1.1') return 'A channel needs HTTP/1.1.';
  if (headersDistinct.host?.length !== 1) return 'The request must name one host.';
  const { 'transfer-encoding': encoding, 'content-length': lengths = [] } = headersDistinct;
  // The client waits for the answer before it sends anything else.
  if (encoding || lengths.some((length) => length !== '0') || head.length > 0)
    return 'The request must not have a body.';
  return undefined;
}

const familyOf = (address: string) => (isIPv6(address) ? 'ipv6' : 'ipv4');

const plain = (address: string) => address.replace(/^::ffff:(?=\d+\.)/i, '');

/** Some proxies add the port. It differs for each connection, so it must not make each connection a separate source. */
const withoutPort = (hop: string) => hop.replace(/^(?:\[([^\]]*)\]|(\d+(?:\.\d+){3}))(?::\d+)?$/, '$1$2');
