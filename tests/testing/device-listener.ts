// The node listener alone, with a real registry and a paired device, for events that a test cannot trigger in the
// registry.

import { EventEmitter, once } from 'node:events';
import type { TestContext } from 'node:test';
import type { TLSSocket } from 'node:tls';
import type { ConnectRouter } from '@connectrpc/connect';
import { certificatesToPem } from '@palyra/identity/certificate';
import { awaitPairing, requestPairing } from '@palyra/identity/device';
import { parsePairingCode } from '@palyra/identity/pairing';
import { systemClock } from '@palyra/identity/values';
import { UnfinishedBytes } from '@palyra/rpc/portable';
import {
  type DeviceAuthenticator,
  type Http2Limits,
  Http2Listener,
  type ListenerEvent,
  type UnfinishedLimits,
} from '@palyra/rpc/transport';
import { RawHttp2 } from '../../packages/rpc/src/testing/raw-http2.ts';
import { bareSocket, credentialOf } from './bare-tls.ts';
import { openIdentity, peerOf } from './in-process.ts';
import { makeDevice } from './sample-device.ts';
import { longestWaitMs } from './until.ts';

export interface DeviceListenerOptions {
  readonly routes: (router: ConnectRouter) => void;
  /** Replaces answers of the registry. */
  readonly authenticator?: Partial<DeviceAuthenticator>;
  readonly limits?: Partial<Http2Limits>;
  readonly unfinished?: Partial<UnfinishedLimits>;
}

export async function deviceListener(t: TestContext, options: DeviceListenerOptions) {
  const identity = await openIdentity(t);
  const device = await makeDevice();
  const { code } = await identity.desk.mint({ kind: 'typed', address: 'localhost:1' });
  const pending = await requestPairing(device, peerOf(identity), parsePairingCode(code), 'localhost:1');
  await identity.desk.approve(pending.requestId);
  const paired = await awaitPairing(device, peerOf(identity), pending, {
    signal: AbortSignal.timeout(longestWaitMs),
  });
  const events = new EventEmitter();
  const told: ListenerEvent[] = [];
  const unfinished = new UnfinishedBytes(options.unfinished);
  const authenticator = new Proxy(identity, {
    get(target, name) {
      const own = options.authenticator?.[name as keyof DeviceAuthenticator];
      const value = own ?? target[name as keyof typeof target];
      return typeof value === 'function' && !own ? value.bind(target) : value;
    },
  });
  const listener = await Http2Listener.listen({
    host: '127.0.0.1',
    port: 0,
    clock: systemClock,
    ...(options.limits && { limits: options.limits }),
    unfinished,
    credential: await identity.issueServerCredential({ dnsNames: [], ipAddresses: ['127.0.0.1'] }),
    devices: { trustBundle: identity.trustBundle, authenticator },
    routes: options.routes,
    onEvent: (event) => {
      told.push(event);
      events.emit(event);
    },
    onInternal: (error) => events.emit('internal', error),
  });
  t.after(() => listener.close(AbortSignal.abort()));
  const address = `127.0.0.1:${listener.port}`;
  const tls = {
    ...credentialOf(paired),
    ca: certificatesToPem(identity.trustBundle),
    servername: identity.trustDomain,
  };
  return {
    address,
    device,
    identity,
    listener,
    paired,
    tls,
    told,
    unfinished,
    /** Resolves when the listener has counted the event, now or earlier. */
    event: async (event: ListenerEvent) => {
      if (!told.includes(event)) await once(events, event);
    },
    connect: async (): Promise<RawHttp2 & { readonly socket: TLSSocket }> => {
      const socket = await bareSocket(address, tls);
      t.after(() => socket.destroy());
      return new RawHttp2(socket) as RawHttp2 & { readonly socket: TLSSocket };
    },
  };
}
