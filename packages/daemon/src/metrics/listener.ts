// The listener for Prometheus: `GET /metrics`, `/healthz` and `/readyz` and nothing else, on a loopback address.

import { listenPlainHttp, type PlainHttp } from '../listeners/plain-http.ts';
import type { DaemonMetrics } from './metrics.ts';

const maxConnections = 16;

/** @param isReady whether the daemon does all that it is there for: `/readyz` is 503 while it does not. */
export function listenMetrics(
  at: { readonly host: string; readonly port: number },
  metrics: Pick<DaemonMetrics, 'text'>,
  isReady: () => Promise<boolean>,
  onError: (error: unknown, where: string) => void,
): Promise<PlainHttp> {
  const limits = { connections: maxConnections, strangersPerSource: maxConnections };
  return listenPlainHttp(at, limits, async (request, response) => {
    const { method, url } = request;
    if (method !== 'GET' || (url !== '/metrics' && url !== '/healthz' && url !== '/readyz')) {
      response.writeHead(404).end();
      return;
    }
    const say = (ok: boolean, text: string) =>
      response.writeHead(ok ? 200 : 503, { 'content-type': 'text/plain; charset=utf-8' }).end(text);
    try {
      if (url === '/healthz') {
        say(true, 'ok\n');
        return;
      }
      if (url === '/readyz') {
        const ready = await isReady();
        say(ready, ready ? 'ready\n' : 'not ready\n');
        return;
      }
      const text = await metrics.text();
      response.writeHead(200, { 'content-type': 'text/plain; version=0.0.4' }).end(text);
    } catch (error) {
      // If the registry cannot be read, the scrape fails, and the daemon is not ready.
      onError(error, `the answer to ${url}`);
      response.writeHead(503).end();
    }
  });
}
