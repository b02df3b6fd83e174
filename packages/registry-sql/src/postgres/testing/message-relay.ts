// A relay in front of PostgreSQL that cuts a connection at a certain statement.

import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { temporaryFolder } from '../../../../../tests/testing/temporary-folder.ts';

const socketName = '.s.PGSQL.5432';

export class MessageRelay {
  /** The URL of the database through this relay. */
  readonly url: string;
  hasCut = false;
  #cut: { readonly statement: string; readonly reaches: boolean } | undefined;

  static async listen(t: TestContext, url: string): Promise<MessageRelay> {
    const folder = temporaryFolder();
    const target = new URL(url);
    const socket = join(target.searchParams.get('host') ?? '', socketName);
    target.searchParams.set('host', folder);
    const relay = new MessageRelay(target.href);
    const open = new Set<Socket>();
    const server = createServer((client) => {
      const upstream = connect(socket);
      for (const each of [client, upstream]) {
        open.add(each);
        each.on('error', () => {});
        each.on('close', () => {
          client.destroy();
          upstream.destroy();
        });
      }
      upstream.pipe(client);
      client.on('data', (bytes: Buffer) => relay.#pass(bytes, client, upstream));
    });
    await new Promise<void>((resolve) => server.listen(join(folder, socketName), resolve));
    t.after(() => {
      server.close();
      for (const each of open) each.destroy();
    });
    return relay;
  }

  private constructor(url: string) {
    this.url = url;
  }

  /** Cuts the connection at the next statement of this text. @param reaches whether the server still gets the statement; its answer is lost. */
  cutAt(statement: string, reaches: boolean): void {
    this.#cut = { statement, reaches };
  }

  #pass(bytes: Buffer, client: Socket, upstream: Socket): void {
    const cut = this.#cut;
    if (
      !cut ||
      !bytes.includes(`Q\0\0\0${String.fromCharCode(cut.statement.length + 5)}${cut.statement}\0`)
    ) {
      upstream.write(bytes);
      return;
    }
    this.#cut = undefined;
    this.hasCut = true;
    upstream.unpipe(client);
    upstream.resume();
    if (!cut.reaches) {
      client.destroy();
      return;
    }
    // The server has executed it when it answers.
    upstream.once('data', () => client.destroy());
    upstream.write(bytes);
  }
}
