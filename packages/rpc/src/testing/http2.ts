// HTTP/2 with mutual TLS, served by Connect alone or by our listener, to compare the other transports with.

import assert from 'node:assert/strict';
import http2 from 'node:http2';
import type { AddressInfo } from 'node:net';
import type { ConnectRouter, Transport } from '@connectrpc/connect';
import { createContextValues } from '@connectrpc/connect';
import { connectNodeAdapter, createGrpcTransport, Http2SessionManager } from '@connectrpc/connect-node';
import { serveHttp2 } from '../http2/serve.ts';
import type { Pki } from './pki.ts';

export async function overHttp2(
  by: 'connect' | 'palyra',
  pki: Pki,
  routes: (router: ConnectRouter) => void,
  maxBytes: number,
): Promise<{ transport: Transport; close(): Promise<void> }> {
  const server = http2.createSecureServer({
    cert: pki.daemon.certificateChain,
    key: pki.daemon.privateKey,
    ca: pki.rootPem,
    requestCert: true,
    rejectUnauthorized: true,
    minVersion: 'TLSv1.3',
  });
  const options = { routes, readMaxBytes: maxBytes, writeMaxBytes: maxBytes };
  if (by === 'connect') server.on('request', connectNodeAdapter({ ...options, acceptCompression: [] }));
  else
    serveHttp2(server, {
      ...options,
      contextValues: () => createContextValues(),
      onError: (error) => assert.fail(error as Error),
    });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const baseUrl = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const sessionManager = new Http2SessionManager(
    baseUrl,
    {},
    {
      cert: pki.device.certificateChain,
      key: pki.device.privateKey,
      ca: pki.rootPem,
      servername: pki.trustDomain,
      checkServerIdentity: () => undefined,
    },
  );
  const limits = { readMaxBytes: maxBytes, writeMaxBytes: maxBytes, acceptCompression: [] };
  return {
    transport: createGrpcTransport({ baseUrl, sessionManager, ...limits }),
    close: async () => {
      sessionManager.abort();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}
