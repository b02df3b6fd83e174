// The bare library as a client, for tests of behaviour that our dialer does not show.

import type { QuicClientSession, QuicConnectOptions } from '@currentspace/http3';
import type { Pki } from '../../../rpc/src/testing/pki.ts';
import { loadLibrary } from '../quiche/library.ts';
import { alpn, type QuicheRuntime } from '../quiche/runtime.ts';

export function connectRaw(
  { trustDomain, rootPem, device }: Pki,
  port: number,
  runtime: QuicheRuntime,
  options: QuicConnectOptions = {},
): QuicClientSession {
  const session = loadLibrary().connectQuic(
    { address: '127.0.0.1', port, servername: trustDomain },
    {
      ca: rootPem,
      cert: device.certificateChain,
      key: device.privateKey,
      alpn: [alpn],
      runtimeMode: runtime,
      ...options,
    },
  );
  session.on('error', () => {});
  return session;
}
