// A proxy that terminates the WebSocket. It can read, change, repeat and drop messages, like a proxy that terminates TLS.

import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { WebSocket, WebSocketServer } from 'ws';
import { deviceOrigin } from '../upgrade.ts';

export interface Passing {
  readonly from: 'device' | 'daemon';
  /** Number of the message in its direction, from 0. */
  readonly index: number;
  readonly bytes: Buffer;
  /** The last message in the other direction. */
  readonly other: Buffer | undefined;
}

/** Returns the messages to forward instead of one message. */
export type Meddle = (passing: Passing) => readonly Uint8Array[];

export async function meddlingProxy(
  upstream: string,
  meddle: Meddle,
  subprotocol?: string,
): Promise<{ port: number; close(): void }> {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0 });
  await once(server, 'listening');
  server.on('connection', (device) => {
    const daemon = new WebSocket(upstream, subprotocol ?? device.protocol, { origin: deviceOrigin });
    const ready = once(daemon, 'open');
    const last: { device?: Buffer; daemon?: Buffer } = {};
    const pass = (from: 'device' | 'daemon', source: WebSocket, target: WebSocket) => {
      let index = 0;
      source.on('message', async (bytes: Buffer) => {
        const other = last[from === 'device' ? 'daemon' : 'device'];
        last[from] = bytes;
        const instead = meddle({ from, index: index++, bytes, other });
        await ready;
        for (const each of instead) target.send(each);
      });
      source.on('close', () => target.terminate());
      source.on('error', () => {});
    };
    pass('device', device, daemon);
    pass('daemon', daemon, device);
  });
  const { port } = server.address() as AddressInfo;
  return {
    port,
    close: () => {
      for (const client of server.clients) client.terminate();
      server.close();
    },
  };
}
