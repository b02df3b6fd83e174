// The URL of a PostgreSQL database. Every option of a connection comes from it, and none from the environment:
//
//   postgres://USER:PASSWORD@HOST:PORT/DATABASE?sslrootcert=/path/ca.pem
//   postgres:///DATABASE?host=/run/postgresql&user=USER
//
// A connection to another machine uses TLS, and checks the server's certificate and name.

import { readFile } from 'node:fs/promises';
import { IdentityError } from '@palyra/identity';
import { formatEndpoint, reasonOf } from '@palyra/identity/values';
import type { ClientConfig } from 'pg';

const defaultPort = 5432;
const known = new Set(['host', 'user', 'sslmode', 'sslrootcert', 'sslcert', 'sslkey']);
const loopback = new Set(['localhost', '127.0.0.1', '::1']);

export interface PostgresAddress {
  /** Host, port and database, for messages. Without the password. */
  readonly name: string;
  readonly client: ClientConfig;
}

/** @throws MESSAGE_INVALID that names the fault, without the password. */
export async function parsePostgresUrl(text: string): Promise<PostgresAddress> {
  const url = URL.parse(text.trim());
  if (!url || !/^postgres(?:ql)?:$/.test(url.protocol))
    throw unusable('it must have the form postgres://USER:PASSWORD@HOST:PORT/DATABASE');
  for (const name of url.searchParams.keys())
    if (!known.has(name)) throw unusable(`there is no parameter ${JSON.stringify(name)}`);
  const parameter = (name: string) => url.searchParams.get(name) ?? undefined;
  const host = parameter('host') ?? decoded(url.hostname).replace(/^\[(.*)\]$/, '$1');
  const user = parameter('user') ?? decoded(url.username);
  const database = decoded(url.pathname.slice(1));
  const port = url.port === '' ? defaultPort : Number(url.port);
  if (host === '') throw unusable('it names no host');
  if (host.includes(',')) throw unusable('it names several hosts. Name one that leads to the primary');
  if (user === '') throw unusable('it names no user');
  if (database === '') throw unusable('it names no database');
  const password = decoded(url.password);
  const isHere = host.startsWith('/') || loopback.has(host);
  const name = host.startsWith('/') ? `${host}/${database}` : `${formatEndpoint({ host, port })}/${database}`;
  return {
    name,
    client: {
      host,
      port,
      user,
      database,
      // A function, because an empty password would be replaced by one from the environment.
      password: async () => password,
      ssl: await tls(parameter, host, isHere),
      // Each would be taken from the environment if it were missing or empty.
      options: '-c client_min_messages=warning',
      client_encoding: 'UTF8',
      ...({ replication: 'false', sslnegotiation: 'postgres' } as object),
      application_name: 'palyra',
      keepAlive: true,
    },
  };
}

async function tls(
  parameter: (name: string) => string | undefined,
  host: string,
  isHere: boolean,
): Promise<ClientConfig['ssl']> {
  const mode = parameter('sslmode') ?? (isHere ? 'disable' : 'verify-full');
  if (mode === 'disable' && isHere) return false;
  if (mode !== 'verify-full')
    throw unusable(
      `sslmode=${mode} does not prove the server. Use sslmode=verify-full, or sslmode=disable for a server on this machine`,
    );
  if (host.startsWith('/')) throw unusable('a Unix socket has no TLS. Remove sslmode');
  const file = async (name: string) => {
    const path = parameter(name);
    if (path === undefined) return undefined;
    return readFile(path, 'utf8').catch((cause) => {
      throw unusable(`${name} cannot be read: ${reasonOf(cause)}`);
    });
  };
  const [ca, cert, key] = [await file('sslrootcert'), await file('sslcert'), await file('sslkey')];
  return {
    rejectUnauthorized: true,
    minVersion: 'TLSv1.2',
    ...(ca !== undefined && { ca }),
    ...(cert !== undefined && { cert }),
    ...(key !== undefined && { key }),
  };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw unusable('it contains a % that does not begin a %XX');
  }
}

function unusable(why: string): IdentityError {
  return new IdentityError('MESSAGE_INVALID', `The URL of the database cannot be used: ${why}.`, {
    about: 'configuration',
  });
}
