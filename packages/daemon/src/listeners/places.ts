// The configured addresses of the daemon's listeners, and every problem with them at once.

import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer, isIPv6 } from 'node:net';
import { isDeepStrictEqual } from 'node:util';
import { IdentityError } from '@palyra/identity';
import { codeOf } from '@palyra/identity/values';
import type { DaemonConfig } from '../config.ts';

export interface Place {
  /** Name of the settings, and the listener's name everywhere else. */
  readonly name: 'pairing' | 'node' | 'quic' | 'web' | 'publish' | 'metrics' | 'console';
  readonly host: string;
  readonly port: number;
}

/** The listeners that are switched on. A console without a configured port takes any port. */
export function placesOf(config: DaemonConfig): Place[] {
  const { pairing, node, quic, web, publish, metrics, console } = config;
  const places: (Place | undefined)[] = [
    { name: 'pairing', ...pairing },
    { name: 'node', ...node },
    quic.enabled ? quicPlace(config) : undefined,
    web.port === undefined ? undefined : { name: 'web', host: web.host, port: web.port },
    publish.port === undefined ? undefined : { name: 'publish', host: publish.host, port: publish.port },
    metrics.port === undefined ? undefined : { name: 'metrics', host: metrics.host, port: metrics.port },
    console.enabled && console.port !== undefined
      ? { name: 'console', host: '127.0.0.1', port: console.port }
      : undefined,
  ];
  return places.filter((place) => place !== undefined);
}

export function quicPlace({ quic, node }: Pick<DaemonConfig, 'quic' | 'node'>): Place {
  return { name: 'quic', host: quic.host ?? node.host, port: quic.port ?? node.port };
}

/**
 * Adapts the configuration to this machine: where the kernel has no IPv6 (`ipv6.disable=1`), "every interface" becomes
 * every IPv4 interface.
 */
export async function onThisMachine(config: DaemonConfig): Promise<DaemonConfig> {
  if (await hasIpv6()) return config;
  const there = <T extends { readonly host: string }>(place: T): T =>
    place.host === '::' ? { ...place, host: '0.0.0.0' } : place;
  const { pairing, node, quic, web, publish } = config;
  return {
    ...config,
    pairing: there(pairing),
    node: there(node),
    quic: { ...quic, host: there(quicPlace(config)).host },
    web: there(web),
    publish: there(publish),
  };
}

async function hasIpv6(): Promise<boolean> {
  const socket = createSocket('udp6');
  try {
    await once(socket.bind({ address: '::', port: 0, exclusive: true }), 'listening');
    return true;
  } catch (error) {
    // Switched off in the kernel or forbidden; or switched off for the interfaces, as in many containers.
    return !['EAFNOSUPPORT', 'EADDRNOTAVAIL'].includes(codeOf(error) ?? '');
  } finally {
    socket.close();
  }
}

/** Passes on the result of listening. @throws UNREACHABLE naming listener, address and setting. */
export async function listenAt<T>(place: Place, listening: Promise<T>): Promise<T> {
  try {
    return await listening;
  } catch (cause) {
    throw cannotListen(place, cause);
  }
}

/**
 * Tries to listen on every address for a moment.
 * @param held the addresses in use by the daemon, which are not tried.
 * @returns an error for each unusable address.
 */
export async function unusablePlaces(
  wanted: DaemonConfig,
  held: readonly Place[] = [],
): Promise<IdentityError[]> {
  const config = await onThisMachine(wanted);
  const problems: IdentityError[] = [];
  const bound: { close(): unknown }[] = [];
  const tried: Place[] = [];
  for (const place of placesOf(config)) {
    const other = tried.find((each) => isSamePort(each, place));
    tried.push(place);
    if (other) {
      problems.push(
        new IdentityError(
          'UNREACHABLE',
          `The ${place.name} listener and the ${other.name} listener both have port ${place.port}. Set ${place.name}.port or ${other.name}.port ${inConfig}`,
        ),
      );
      continue;
    }
    try {
      if (!held.some((each) => isDeepStrictEqual(each, place))) bound.push(await bind(place));
    } catch (cause) {
      problems.push(cannotListen(place, cause));
    }
  }
  await Promise.all(bound.map((each) => each.close()));
  return problems;
}

const inConfig = 'in config.json.';

/** Whether the addresses overlap and use the same protocol. */
function isSamePort(one: Place, other: Place): boolean {
  if (one.port === 0 || one.port !== other.port) return false;
  if ((one.name === 'quic') !== (other.name === 'quic')) return false;
  return one.host === other.host || isWildcard(one) || isWildcard(other);
}

const isWildcard = ({ host }: Place) => host === '::' || host === '0.0.0.0';

async function bind({ name, host, port }: Place): Promise<{ close(): Promise<unknown> }> {
  if (name === 'quic') {
    const socket = createSocket(isIPv6(host) ? 'udp6' : 'udp4').bind({
      port,
      address: host,
      exclusive: true,
    });
    await once(socket, 'listening');
    return { close: () => new Promise<void>((resolve) => socket.close(resolve)) };
  }
  const server = createServer((connection) => connection.destroy()).listen({ host, port, exclusive: true });
  await once(server, 'listening');
  return { close: () => new Promise((resolve) => server.close(resolve)) };
}

function cannotListen({ name, host, port }: Place, error: unknown): IdentityError {
  // The system's error is the cause of the transport's error.
  const cause = error instanceof IdentityError && error.cause ? error.cause : error;
  const code = codeOf(cause);
  // Other failures do not concern the address.
  if (typeof code !== 'string' || !/^E(?!RR_)[A-Z0-9_]+$/.test(code)) throw error;
  const off = name === 'console' ? ', or console.enabled to false' : '';
  const message = {
    EADDRINUSE: `${name === 'quic' ? 'UDP port' : 'Port'} ${port} for the ${name} listener is in use by another program. Stop that program, or set ${name}.port${off} ${inConfig}`,
    EACCES: `This user may not use port ${port} for the ${name} listener. Set ${name}.port${off} ${inConfig}`,
    EADDRNOTAVAIL: `The ${name} listener cannot use the address ${host}: this machine does not have it. Set ${name}.host ${inConfig}`,
    EAFNOSUPPORT: `The ${name} listener cannot use the address ${host}: this machine has no ${isIPv6(host) ? 'IPv6' : 'IPv4'}. Set ${name}.host ${inConfig}`,
    ENOTFOUND: `The ${name} listener cannot use the address ${host}: no machine has that name. Set ${name}.host ${inConfig}`,
  }[code];
  return new IdentityError(
    'UNREACHABLE',
    message ??
      `The ${name} listener cannot use ${host} port ${port} (${code}). Set ${name}.host or ${name}.port ${inConfig}`,
    { cause },
  );
}
