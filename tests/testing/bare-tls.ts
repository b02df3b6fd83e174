// A TLS client without our dialer: any certificate or none, any version, any ticket.

import http2 from 'node:http2';
import tls from 'node:tls';
import { type Client, createClient } from '@connectrpc/connect';
import { createGrpcTransport } from '@connectrpc/connect-node';
import { certificatesToPem, TlsKey } from '@palyra/identity/certificate';
import type { PairedEnrollment } from '@palyra/identity/device';
import { parseEndpoint } from '@palyra/identity/values';
import { NodeService } from '@palyra/rpc';
import type { TestDaemon } from './running-daemon.ts';

export interface BareConnection {
  readonly socket: tls.TLSSocket;
  readonly session: http2.ClientHttp2Session;
  readonly node: Client<typeof NodeService>;
  readonly transport: ReturnType<typeof createGrpcTransport>;
  /** The latest TLS ticket. */
  ticket(): Promise<Buffer>;
  readonly closed: Promise<void>;
  close(): void;
}

/** Certificate and key for `tls.connect`. */
export interface Credential {
  readonly cert: string;
  readonly key: string;
}

export function credentialOf(enrollment: PairedEnrollment): Credential {
  return {
    cert: certificatesToPem(enrollment.certificateChain),
    key: TlsKey.fromPkcs8(enrollment.tlsKey).toPem(),
  };
}

/** Resolves after the handshake. @throws the error of the handshake. */
export function bareSocket(
  address: string,
  options: tls.ConnectionOptions & { readonly localAddress?: string },
): Promise<tls.TLSSocket> {
  const { host, port } = parseEndpoint(address);
  return new Promise((resolve, reject) => {
    const socket = tls.connect({ host, port, ALPNProtocols: ['h2'], ...options });
    socket.once('error', reject);
    socket.once('secureConnect', () => resolve(socket));
  });
}

/** Connects to the node listener of a daemon, verified by its root. @throws the error of the handshake. */
export async function connectNode(
  daemon: TestDaemon,
  options: tls.ConnectionOptions = {},
): Promise<BareConnection> {
  const socket = await bareSocket(daemon.nodeAddress, {
    ca: certificatesToPem(daemon.trustBundle),
    servername: daemon.running.trustDomain,
    ...options,
  });
  const ticket = new Promise<Buffer>((resolve) => socket.once('session', resolve));
  const authority = `https://${daemon.nodeAddress}`;
  const session = http2.connect(authority, { createConnection: () => socket });
  session.on('error', () => {});
  // After a TLS alert, Node does not close the socket.
  socket.on('error', () => socket.destroy());
  const transport = createGrpcTransport({
    baseUrl: authority,
    sessionManager: {
      authority,
      request: async (method, path, headers, requestOptions) =>
        session.request({ ...headers, ':method': method, ':path': path }, requestOptions),
      notifyResponseByteRead: () => {},
    },
  });
  const connection: BareConnection = {
    socket,
    session,
    transport,
    node: createClient(NodeService, transport),
    ticket: () => ticket,
    closed: new Promise((resolve) => socket.once('close', () => resolve())),
    close: () => session.destroy(),
  };
  daemon.closeAtEnd(connection);
  return connection;
}
