// Whether a UDP port can be had. The library cannot be asked: when it fails to bind, it keeps the process alive for ever.

import { createSocket } from 'node:dgram';
import { isIPv6 } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** With io_uring the kernel gives the port back some milliseconds after the library says it has closed. */
export async function portIsFree(host: string, port: number): Promise<void> {
  for (let attempt = 0; attempt < 100; attempt++) {
    if (!(await tryBind(host, port))) return;
    await sleep(10);
  }
}

/** Why the address cannot be bound; undefined when it can. */
export async function tryBind(host: string, port: number): Promise<Error | undefined> {
  const probe = createSocket(isIPv6(host) ? 'udp6' : 'udp4');
  const failure = await new Promise<Error | undefined>((resolve) => {
    probe.once('error', resolve);
    probe.bind({ port, address: host, exclusive: true }, () => resolve(undefined));
  });
  await new Promise<void>((resolve) => probe.close(() => resolve()));
  return failure;
}
