// A false daemon: it answers pairing calls as a test specifies.

import http2 from 'node:http2';
import type { AddressInfo } from 'node:net';
import type { TestContext } from 'node:test';
import type { ServiceImpl } from '@connectrpc/connect';
import { connectNodeAdapter } from '@connectrpc/connect-node';
import { certificatesToPem, LocalSigner, makeRoot } from '@palyra/identity/certificate';
import { nodeCrypto, systemClock } from '@palyra/identity/values';
import { PairingService } from '@palyra/rpc';
import type { Credential } from './bare-tls.ts';

/** A self-signed certificate and its key. */
export async function selfSigned(): Promise<Credential & { readonly der: Uint8Array }> {
  const signer = LocalSigner.generate();
  const { der } = await makeRoot({
    trustDomain: 'palyra-aaaaaaaaaa.internal',
    signer,
    clock: systemClock,
    randomBytes: nodeCrypto.randomBytes,
  });
  return { cert: certificatesToPem([der]), key: signer.toPem(), der };
}

/** @returns its address. */
export async function listenAsDaemon(
  t: TestContext,
  credential: Credential,
  service: Partial<ServiceImpl<typeof PairingService>>,
): Promise<string> {
  const server = http2.createSecureServer(
    { key: credential.key, cert: credential.cert, minVersion: 'TLSv1.3', ALPNProtocols: ['h2'] },
    connectNodeAdapter({ routes: (router) => router.service(PairingService, service) }),
  );
  const sessions = new Set<http2.ServerHttp2Session>();
  server.on('session', (session) => sessions.add(session));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    for (const session of sessions) session.destroy();
    server.close();
  });
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}
