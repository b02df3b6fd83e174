// The conformance service, served over QUIC on this machine, and connections to it.

import { type Client, createClient } from '@connectrpc/connect';
import type { Quic, QuicClientConnection, QuicListener } from '../contract.ts';
import { createQuicTransport } from '../rpc/client.ts';
import { type ConnectOverQuicOptions, serveConnectOverQuic } from '../rpc/server.ts';
import { conformanceRoutes, type HandlerWitness } from './conformance-service.ts';
import { ConformanceService } from './gen/palyra/conformance/v1/conformance_pb.js';
import { createPki, type Pki } from './pki.ts';

export interface ServedConformance {
  readonly pki: Pki;
  readonly listener: QuicListener;
  dial(): Promise<QuicClientConnection>;
  close(): Promise<void>;
}

export async function serveConformance(
  quic: Quic,
  witness: HandlerWitness,
  options: Omit<ConnectOverQuicOptions, 'routes'> = {},
  pki?: Pki,
): Promise<ServedConformance> {
  const keys = pki ?? (await createPki());
  const listener = await quic.listen({
    host: '127.0.0.1',
    port: 0,
    tls: keys.serverTls,
    admit: async () => {},
    serve: serveConnectOverQuic({ routes: conformanceRoutes(witness), ...options }),
  });
  return {
    pki: keys,
    listener,
    dial: () => quic.dial({ host: '127.0.0.1', port: listener.port, tls: keys.clientTls }),
    close: () => listener.close(),
  };
}

/** All calls over one connection. */
export function clientOver(connection: QuicClientConnection): Client<typeof ConformanceService> {
  return createClient(ConformanceService, createQuicTransport({ connect: async () => connection }));
}
