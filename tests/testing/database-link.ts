// The network between one daemon and its database: a relay that can be cut, or hold everything back.

import { connect, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import type { Scope } from './palyra-process.ts';
import { temporaryFolder } from './temporary-folder.ts';

const socketName = '.s.PGSQL.5432';

export class DatabaseLink {
  /** The database through this link. */
  readonly url: string;
  #target: string;
  readonly #open = new Set<Socket>();
  #isCut = false;
  #isHeld = false;

  static async listen(scope: Scope, url: string): Promise<DatabaseLink> {
    const folder = temporaryFolder();
    const link = new DatabaseLink(url, folder);
    const server = createServer((client) => link.#relay(client));
    await new Promise<void>((resolve) => server.listen(join(folder, socketName), resolve));
    scope.after(async () => link.#end(server));
    return link;
  }

  private constructor(url: string, folder: string) {
    const address = new URL(url);
    this.#target = socketOf(url);
    address.searchParams.set('host', folder);
    this.url = address.href;
  }

  /** Ends every connection, and lets none through until `mend`. */
  cut(): void {
    this.#isCut = true;
    for (const each of this.#open) each.destroy();
  }

  /** Ends every connection. New ones reach another server, as after a failover. */
  leadTo(url: string): void {
    this.#target = socketOf(url);
    for (const each of this.#open) each.destroy();
  }

  /** Bytes arrive nowhere until `mend`. */
  hold(): void {
    this.#isHeld = true;
    for (const each of this.#open) each.pause();
  }

  mend(): void {
    this.#isCut = false;
    this.#isHeld = false;
    for (const each of this.#open) each.resume();
  }

  #relay(client: Socket): void {
    if (this.#isCut) {
      client.destroy();
      return;
    }
    const server = connect(this.#target);
    for (const [from, to] of [
      [client, server],
      [server, client],
    ] as const) {
      this.#open.add(from);
      from.on('data', (bytes) => to.write(bytes));
      from.on('error', () => {});
      from.on('close', () => {
        this.#open.delete(from);
        to.destroy();
      });
      if (this.#isHeld) from.pause();
    }
  }

  #end(server: Server): void {
    server.close();
    this.cut();
  }
}

function socketOf(url: string): string {
  return join(new URL(url).searchParams.get('host') ?? '', socketName);
}
