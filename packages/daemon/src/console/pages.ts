// The console's files, built by Vite, and the headers of every response on the console's port.

import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { extname } from 'node:path';

/** Allows only the console's own scripts, styles and connections, and nothing inline. */
const contentSecurityPolicy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join('; ');

export const securityHeaders: Readonly<Record<string, string>> = {
  'content-security-policy': contentSecurityPolicy,
  'cross-origin-embedder-policy': 'require-corp',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'permissions-policy': 'camera=(), microphone=(), geolocation=(), usb=(), serial=(), payment=()',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
};

const mediaTypes: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
};

interface Page {
  readonly body: Buffer;
  readonly headers: Readonly<Record<string, string>>;
}

const notBuilt = Buffer.from('The console has not been built. In the checkout, run: npm run build\n');

/** The few files are held in memory, so a requested path never reaches the disk. */
export class ConsolePages {
  readonly #pages: ReadonlyMap<string, Page>;

  static async load(folder: URL): Promise<ConsolePages> {
    const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch((error) => {
      if (error.code !== 'ENOENT') throw error;
      return [];
    });
    const pages = new Map<string, Page>();
    for (const entry of entries) {
      const type = mediaTypes[extname(entry.name)];
      if (!entry.isFile() || !type) continue;
      const file = `${entry.parentPath}/${entry.name}`;
      const path = file.slice(decodeURI(folder.pathname).length).replace(/^\/*/, '/');
      const body = await readFile(file);
      const etag = `"${createHash('sha256').update(body).digest('base64url')}"`;
      // The names under assets contain a digest of the content.
      const cache = path.startsWith('/assets/') ? 'public, max-age=31536000, immutable' : 'no-cache';
      pages.set(path, { body, headers: { 'content-type': type, 'cache-control': cache, etag } });
    }
    const index = pages.get('/index.html');
    if (index) pages.set('/', index);
    return new ConsolePages(pages);
  }

  private constructor(pages: ReadonlyMap<string, Page>) {
    this.#pages = pages;
  }

  serve(request: IncomingMessage, response: ServerResponse): void {
    const page = this.#pages.get(request.url?.split('?', 1)[0] ?? '/');
    if (!page) {
      const status = this.#pages.size === 0 ? 503 : 404;
      response.writeHead(status, {
        'content-type': 'text/plain; charset=utf-8',
        'cache-control': 'no-store',
      });
      response.end(this.#pages.size === 0 ? notBuilt : 'Not found.\n');
      return;
    }
    const isKnown = request.headers['if-none-match'] === page.headers.etag;
    response.writeHead(isKnown ? 304 : 200, page.headers);
    response.end(isKnown || request.method === 'HEAD' ? undefined : page.body);
  }
}
