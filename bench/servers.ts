// The servers under load, in a separate process: the node listener with a registry on disk, and beside it, with the
// same certificates, a bare TLS server and the same services without checks.

import http2 from 'node:http2';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import tls from 'node:tls';
import { type ConnectRouter, createContextValues } from '@connectrpc/connect';
import { IdentityManager, MemorySecretStore } from '@palyra/identity';
import { certificatesToPem } from '@palyra/identity/certificate';
import type { PairedEnrollment } from '@palyra/identity/device';
import { systemClock } from '@palyra/identity/values';
import { openSqliteRegistry } from '@palyra/registry-sql';
import { NodeService } from '@palyra/rpc';
import { defaultHttp2Limits, Http2Listener, serveHttp2 } from '@palyra/rpc/transport';
import { newDevice, pair } from './pair.ts';

export interface ServersReady {
  readonly ports: { readonly node: number; readonly bare: number; readonly unchecked: number };
  readonly device: PairedEnrollment;
}

export type Question = 'cpu' | 'empty';

const host = '127.0.0.1';
let connections = () => 0;

/** Status with a minimal handler, so that nothing hides the cost of the checks. */
function routes(router: ConnectRouter): void {
  router.service(NodeService, {
    status: () => ({ daemonId: '01HF7YAT05QWBA7GRQH6Z7GA03', daemonTimeMs: BigInt(Date.now()) }),
  });
}

async function serve(folder: string): Promise<ServersReady> {
  const registry = await openSqliteRegistry({ path: join(folder, 'registry.sqlite') });
  const manager = await IdentityManager.open({ secrets: new MemorySecretStore(), registry });
  const device = await pair(manager, await newDevice());
  const credential = await manager.issueServerCredential({ dnsNames: [], ipAddresses: [host] });
  const { trustBundle } = manager;

  const node = await Http2Listener.listen({
    host,
    port: 0,
    credential,
    devices: { trustBundle, authenticator: manager },
    routes,
    // The load comes from one address and one device.
    limits: { strangersPerSource: 1_000 },
    clock: systemClock,
    onInternal: (error, method) => console.error(method, error),
  });

  const mutualTls: tls.TlsOptions = {
    key: credential.key.toPem(),
    cert: certificatesToPem(credential.certificateChain),
    ca: certificatesToPem(trustBundle),
    requestCert: true,
    minVersion: 'TLSv1.3',
    ALPNProtocols: ['h2'],
  };
  // One byte tells the client that the server accepted it, like the settings of HTTP/2.
  const sockets = new Set<tls.TLSSocket>();
  const bare = tls.createServer(mutualTls, (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => socket.destroy());
    socket.write('.');
  });
  connections = () => node.connections + sockets.size;
  const { messageBytes, headerBytes } = defaultHttp2Limits;
  const unchecked = http2.createSecureServer({
    ...mutualTls,
    settings: { maxHeaderListSize: headerBytes },
  });
  serveHttp2(unchecked, {
    routes,
    readMaxBytes: messageBytes,
    writeMaxBytes: messageBytes,
    contextValues: () => createContextValues(),
    onError: (error) => console.error(error),
  });
  return {
    ports: { node: node.port, bare: await listen(bare), unchecked: await listen(unchecked) },
    device,
  };
}

async function listen(server: tls.Server | http2.Http2SecureServer): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  return (server.address() as AddressInfo).port;
}

/** Answers with the processor time of this process, ms, or with nothing after the last connection has closed. */
async function answer(question: Question): Promise<number> {
  if (question === 'empty') {
    while (connections() > 0) await setTimeout(1);
    return 0;
  }
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

process.on('disconnect', () => process.exit());
process.on('message', async (question: Question) => process.send?.(await answer(question)));
process.send?.(await serve(process.argv[2] ?? ''));
