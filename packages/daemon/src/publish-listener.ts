// What anybody may read, over plain HTTP, for programs that verify devices themselves: revocation lists, which are
// signed, and the trust bundle, which is not: whoever fetches that from another machine should compare its fingerprint.

import http from 'node:http';
import type { AddressInfo } from 'node:net';
import {
  certificatesToPem,
  type IdentityManager,
  revocationListsToPem,
  spiffeBundle,
} from '@palyra/identity';

export interface PublishListener {
  readonly port: number;
  close(): Promise<void>;
}

const requestTimeoutMs = 5_000;
const maxConnections = 64;

export async function listenPublish(
  at: { readonly host: string; readonly port: number },
  identity: IdentityManager,
  onError: (error: unknown, where: string) => void,
): Promise<PublishListener> {
  const pages: Readonly<Record<string, () => Promise<[type: string, body: string | Uint8Array]>>> = {
    '/crl.pem': async () => [
      'application/x-pem-file',
      revocationListsToPem(await identity.revocationLists.current()),
    ],
    '/crl.der': async () => [
      'application/pkix-crl',
      (await identity.revocationLists.current())[0]?.der ?? '',
    ],
    '/bundle.pem': async () => ['application/x-pem-file', certificatesToPem(identity.trustBundle)],
    '/bundle.json': async () => ['application/json', JSON.stringify(spiffeBundle(identity.trustBundle))],
  };
  const server = http.createServer(
    { requestTimeout: requestTimeoutMs, headersTimeout: requestTimeoutMs, maxHeaderSize: 8 * 1024 },
    async (request, response) => {
      const page = request.method === 'GET' ? pages[request.url ?? ''] : undefined;
      if (!page) {
        response.writeHead(404).end();
        return;
      }
      try {
        const [type, body] = await page();
        response.writeHead(200, { 'content-type': type, 'cache-control': 'max-age=60' }).end(body);
      } catch (error) {
        onError(error, `publishing ${request.url}`);
        response.writeHead(503).end();
      }
    },
  );
  server.maxConnections = maxConnections;
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(at.port, at.host, resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
