// Serves revocation lists and the trust bundle to anybody over plain HTTP, for programs that verify devices themselves. The
// lists are signed. The trust bundle is not: a program that fetches it from another machine should compare its fingerprint.
//
// The list of a large fleet has tens of MiB. All readers share one copy in memory, and each receives it as fast as it reads.

import type { ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setImmediate as nextTurn } from 'node:timers/promises';
import {
  certificatesToPem,
  revocationListsPemLength,
  revocationListsToPem,
  spiffeBundle,
} from '@palyra/identity/certificate';
import type { ListOfAuthority, PublishedBundle, RevocationList } from '@palyra/identity/registry';
import { listenPlainHttp, type PlainHttp } from './plain-http.ts';

/** The published documents. */
export interface Published {
  readonly trustBundle: readonly Uint8Array[];
  publishedBundle(): Promise<PublishedBundle>;
  readonly revocationLists: { current(): Promise<ListOfAuthority[]> };
}

/** How long a reader may read nothing. */
const stalledTimeoutMs = 30_000;
const maxConnections = 64;
const maxPerSource = 16;
/** Versions of the lists sent at one time: the newest, and the previous one for readers that began earlier. */
const maxGenerations = 2;

interface Page {
  readonly type: string;
  readonly length: number;
  readonly body: Iterable<string | Uint8Array>;
  /** The version of a list that may be renewed while it is read, and its readers. */
  readonly generation?: string;
  readonly generations?: Generations;
}

export async function listenPublish(
  at: { readonly host: string; readonly port: number },
  identity: Published,
  onError: (error: unknown, where: string) => void,
): Promise<PlainHttp> {
  const generations = { all: new Generations(), active: new Generations() };
  const told = new WeakSet<object>();

  /** The available lists. @throws the error of the first list if none is available. */
  async function listsOf(which: 'all' | 'active'): Promise<RevocationList[]> {
    const current = await identity.revocationLists.current();
    const lists: RevocationList[] = [];
    for (const { issuerId, list, error } of which === 'active' ? current.slice(0, 1) : current) {
      if (list) lists.push(list);
      // Reported once, however many readers ask.
      if (!(error instanceof Error) || told.has(error)) continue;
      told.add(error);
      onError(error, `the revocation list of authority ${issuerId}`);
    }
    return lists;
  }

  const text = (type: string, body: string): Page => ({
    type,
    length: Buffer.byteLength(body),
    body: [body],
  });
  const pages: Readonly<Record<string, () => Promise<Page | undefined>>> = {
    '/crl.pem': async () => {
      const lists = await listsOf('all');
      if (lists.length === 0) return undefined;
      return {
        type: 'application/x-pem-file',
        length: revocationListsPemLength(lists),
        body: revocationListsToPem(lists),
        generation: lists.map(({ number }) => number).join(),
        generations: generations.all,
      };
    },
    '/crl.der': async () => {
      const [list] = await listsOf('active');
      return (
        list && {
          type: 'application/pkix-crl',
          length: list.der.reduce((length, part) => length + part.length, 0),
          body: list.der,
          generation: String(list.number),
          generations: generations.active,
        }
      );
    },
    '/bundle.pem': async () => text('application/x-pem-file', certificatesToPem(identity.trustBundle)),
    '/bundle.json': async () => {
      const { roots, sequence } = await identity.publishedBundle();
      return text('application/json', JSON.stringify(spiffeBundle(roots, sequence)));
    },
  };
  async function send(response: ServerResponse, page: Page): Promise<void> {
    const { type, length, body, generation, generations } = page;
    // Sends the length, so that a reader recognizes a truncated list.
    response.writeHead(200, {
      'content-type': type,
      'content-length': length,
      'cache-control': 'max-age=60',
    });
    // Set only now, because making a list may take longer.
    response.setTimeout(stalledTimeoutMs, () => response.destroy());
    if (generation) generations?.add(generation, response);
    // A reader that disconnects midway needs no error.
    await pipeline(Readable.from(inTurns(body), { objectMode: true }), response).catch(() => {});
  }

  const limits = { connections: maxConnections, strangersPerSource: maxPerSource };
  return listenPlainHttp(at, limits, async (request, response) => {
    const page = request.method === 'GET' ? pages[request.url ?? ''] : undefined;
    if (!page) {
      response.writeHead(404).end();
      return;
    }
    try {
      const made = await page();
      if (!made) response.writeHead(503).end();
      else await send(response, made);
    } catch (error) {
      onError(error, `publishing ${request.url}`);
      response.writeHead(503).end();
    }
  });
}

/** Writes piece after piece in one turn while the socket has room. */
async function* inTurns(body: Iterable<string | Uint8Array>): AsyncIterable<string | Uint8Array> {
  for (const piece of body) {
    yield piece;
    await nextTurn();
  }
}

/** The readers of each version. Slow readers of many versions would keep them all in memory, so the oldest are cut off. */
class Generations {
  /** Ordered from oldest to newest. */
  readonly #readers = new Map<string, Set<ServerResponse>>();

  add(generation: string, response: ServerResponse): void {
    const readers = this.#readers.get(generation) ?? new Set();
    this.#readers.set(generation, readers.add(response));
    response.once('close', () => {
      readers.delete(response);
      if (readers.size === 0 && this.#readers.get(generation) === readers) this.#readers.delete(generation);
    });
    if (this.#readers.size <= maxGenerations) return;
    const [oldest] = this.#readers.values();
    for (const reader of oldest ?? []) reader.destroy();
  }
}
