// A man in the middle: terminates the device's TLS with its own certificate and forwards every call to the daemon.

import type { TestContext } from 'node:test';
import { createClient } from '@connectrpc/connect';
import { dialPairing, PairingService } from '@palyra/rpc';
import { listenAsDaemon, selfSigned } from './lying-daemon.ts';
import type { TestDaemon } from './running-daemon.ts';

export interface Interceptor {
  readonly address: string;
  /** Its self-signed certificate, DER. */
  readonly certificate: Uint8Array;
  /** Names of the forwarded calls. */
  readonly passedOn: string[];
}

/** @param options.ownRoot names its own certificate as the root in the answer to Open. */
export async function startInterceptor(
  t: TestContext,
  daemon: TestDaemon,
  options: { readonly ownRoot?: boolean } = {},
): Promise<Interceptor> {
  const credential = await selfSigned();
  const upstream = await dialPairing(daemon.pairingAddress);
  daemon.closeAtEnd(upstream);
  const real = createClient(PairingService, upstream.transport);
  const passedOn: string[] = [];
  const pass = <T>(name: string, call: T): T => {
    passedOn.push(name);
    return call;
  };
  const address = await listenAsDaemon(t, credential, {
    async open(call) {
      const reply = await pass('open', real.open(call));
      return options.ownRoot ? { ...reply, rootCertificate: credential.der } : reply;
    },
    exchange: (call) => pass('exchange', real.exchange(call)),
    confirm: (call) => pass('confirm', real.confirm(call)),
    await: (call, context) => pass('await', real.await(call, { signal: context.signal })),
  });
  return { address, certificate: credential.der, passedOn };
}
