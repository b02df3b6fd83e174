// Someone in between: ends the device's TLS with a certificate of its own and passes every call on to the daemon.

import http2 from 'node:http2';
import type { AddressInfo } from 'node:net';
import type { TestContext } from 'node:test';
import { createClient } from '@connectrpc/connect';
import { connectNodeAdapter } from '@connectrpc/connect-node';
import { certificatesToPem, LocalSigner, makeRoot, nodeCrypto, systemClock } from '@palyra/identity';
import { dialPairing, PairingService } from '@palyra/rpc';
import type { TestDaemon } from './running-daemon.ts';

export interface Interceptor {
  readonly address: string;
  /** The self-signed certificate it presents, DER. */
  readonly certificate: Uint8Array;
  /** Names of the calls that it passed on. */
  readonly passedOn: string[];
}

/** @param options.ownRoot names its own certificate as the root in the answer to Open. */
export async function startInterceptor(
  t: TestContext,
  daemon: TestDaemon,
  options: { readonly ownRoot?: boolean } = {},
): Promise<Interceptor> {
  const signer = LocalSigner.generate();
  const { der: certificate } = await makeRoot({
    trustDomain: 'palyra-aaaaaaaaaa.internal',
    signer,
    clock: systemClock,
    randomBytes: nodeCrypto.randomBytes,
  });
  const upstream = await dialPairing(daemon.pairingAddress);
  daemon.closeAtEnd(upstream);
  const real = createClient(PairingService, upstream.transport);
  const passedOn: string[] = [];
  const pass = <T>(name: string, call: Promise<T>): Promise<T> => {
    passedOn.push(name);
    return call;
  };
  const server = http2.createSecureServer(
    {
      key: signer.toPem(),
      cert: certificatesToPem([certificate]),
      minVersion: 'TLSv1.3',
      ALPNProtocols: ['h2'],
    },
    connectNodeAdapter({
      routes: (router) =>
        router.service(PairingService, {
          async open(call) {
            const reply = await pass('open', real.open(call));
            return options.ownRoot ? { ...reply, rootCertificate: certificate } : reply;
          },
          exchange: (call) => pass('exchange', real.exchange(call)),
          confirm: (call) => pass('confirm', real.confirm(call)),
          await(call, context) {
            passedOn.push('await');
            return real.await(call, { signal: context.signal });
          },
        }),
    }),
  );
  const sessions = new Set<http2.ServerHttp2Session>();
  server.on('session', (session) => sessions.add(session));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    for (const session of sessions) session.destroy();
    server.close();
  });
  return { address: `127.0.0.1:${(server.address() as AddressInfo).port}`, certificate, passedOn };
}
