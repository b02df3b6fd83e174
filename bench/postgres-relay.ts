// A relay in front of PostgreSQL that counts round trips: each ends with the message ReadyForQuery
// (postgresql.org/docs/current/protocol-message-formats.html).

import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { temporaryFolder } from '../tests/testing/temporary-folder.ts';

const socketName = '.s.PGSQL.5432';
const readyForQuery = 'Z'.charCodeAt(0);

export class CountingRelay {
  /** The URL of the database through this relay. */
  readonly url: string;
  #roundTrips = 0;

  static async listen(url: string): Promise<CountingRelay> {
    const folder = temporaryFolder();
    const target = new URL(url);
    const socket = join(target.searchParams.get('host') ?? '', socketName);
    target.searchParams.set('host', folder);
    const relay = new CountingRelay(target.href);
    const server = createServer((client) => {
      const upstream = connect(socket);
      client.pipe(upstream);
      upstream.pipe(client);
      relay.#count(upstream);
      for (const each of [client, upstream])
        each
          .on('error', () => {})
          .on('close', () => {
            client.destroy();
            upstream.destroy();
          });
    });
    await new Promise<void>((resolve) => server.listen(join(folder, socketName), resolve));
    server.unref();
    return relay;
  }

  private constructor(url: string) {
    this.url = url;
  }

  /** Since the last call of this function. */
  take(): number {
    const taken = this.#roundTrips;
    this.#roundTrips = 0;
    return taken;
  }

  #count(upstream: Socket): void {
    let left: Buffer = Buffer.alloc(0);
    upstream.on('data', (bytes: Buffer) => {
      left = left.length > 0 ? Buffer.concat([left, bytes]) : bytes;
      while (left.length >= 5) {
        const length = 1 + left.readUInt32BE(1);
        if (left.length < length) return;
        if (left[0] === readyForQuery) this.#roundTrips += 1;
        left = left.subarray(length);
      }
    });
  }
}
