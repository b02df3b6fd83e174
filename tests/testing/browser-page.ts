// A page that uses the bundle of @palyra/browser, and the server of its origin.

import { createServer } from 'node:http';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { build, stop } from 'esbuild';
import { atEndOfFile } from './end-of-file.ts';

const folder = join(import.meta.dirname, '../../packages/browser/src');

/** @param contents of the entry. @param external modules that are not bundled. @returns JavaScript for a page. */
export async function bundled(contents: string, external: readonly string[] = []): Promise<Uint8Array> {
  atEndOfFile(() => void stop());
  const { outputFiles } = await build({
    stdin: { contents, resolveDir: folder, loader: 'ts' },
    bundle: true,
    minify: true,
    write: false,
    format: 'esm',
    platform: 'browser',
    target: 'es2022',
    external: [...external],
  });
  return outputFiles[0]!.contents;
}

const entry = `
export * from './index.ts';
export { serveDaemon } from './serve.ts';
export { createClient } from '@connectrpc/connect';
export { runCapability } from '../../agent/src/capability.ts';
`;
const page = `<!doctype html><title>device</title><link rel="icon" href="data:,"><script type="module">
const hours = Number(new URLSearchParams(location.search).get('hours') ?? 0);
const Real = Date;
const shift = hours * 3_600_000;
globalThis.Date = class extends Real {
  constructor(...given) { given.length > 0 ? super(...given) : super(Real.now() + shift); }
  static now() { return Real.now() + shift; }
};
globalThis.palyra = await import('/palyra.js');
document.body.append('ready');
</script><body>`;

/** Answers with the result of the function that a page sends as text. */
const worker = `import * as palyra from '/palyra.js';
globalThis.palyra = palyra;
onmessage = async ({ data: { work, given } }) => {
  try {
    postMessage({ result: await (0, eval)('(' + work + ')')(given) });
  } catch (error) {
    postMessage({ error: String(error) });
  }
};`;

/** @returns its port: the page has the origins http://127.0.0.1:PORT and http://localhost:PORT. `?hours=N`: its clock is ahead. */
export async function servePage(t: TestContext): Promise<number> {
  const script = await bundled(entry);
  const server = createServer(({ url }, response) => {
    const content = url === '/palyra.js' ? script : url === '/worker.js' ? worker : page;
    response.setHeader('content-type', content === page ? 'text/html' : 'text/javascript');
    response.end(content);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}
