// Someone in between who ends each channel and has one of their own with the daemon. They pass on what they read.

import type { TestContext } from 'node:test';
import type { DeviceChannel } from '@palyra/channel';
import type { ByteStream } from '@palyra/rpc/portable';
import { dialChannel, listen } from '@palyra/transport-websocket';
import { createPki } from '../../packages/rpc/src/testing/pki.ts';
import type { TestDaemon } from './running-daemon.ts';

/** @param origins of the pages that it serves. @returns the URL of its channels. */
export async function interceptChannels(
  t: TestContext,
  daemon: TestDaemon,
  origins: readonly string[] = [],
): Promise<string> {
  const pki = await createPki();
  const upstreams = new Map<object, Promise<DeviceChannel>>();
  const upstreamOf = (connection: object) => {
    const url = new URL(daemon.webAddress);
    const known = upstreams.get(connection) ?? dialChannel({ url, purpose: 'pair', judge: () => undefined });
    upstreams.set(connection, known);
    return known;
  };
  t.after(async () => {
    for (const upstream of upstreams.values()) (await upstream).close();
  });
  const listener = await listen({
    host: '127.0.0.1',
    port: 0,
    tls: pki.serverTls,
    purposes: ['pair'],
    origins,
    admit: async () => {},
    async serve(stream, connection) {
      const upstream = await upstreamOf(connection);
      const call = await upstream.openStream();
      await Promise.allSettled([pass(stream, call), pass(call, stream)]);
    },
  });
  t.after(() => listener.close());
  return `ws://127.0.0.1:${listener.port}/channel`;
}

async function pass(from: ByteStream, to: ByteStream): Promise<void> {
  for (let bytes = await from.read(); bytes; bytes = await from.read()) await to.write(bytes);
  await to.end();
}
