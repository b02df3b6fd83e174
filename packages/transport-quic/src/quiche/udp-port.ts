// Checks whether a UDP port is free. The library cannot check it: a failed bind in the library keeps the process alive for ever.

import { createSocket } from 'node:dgram';
import { isIPv6 } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** With io_uring the kernel frees the port some milliseconds after the library reports the close. */
export async function portIsFree(host: string, port: number): Promise<void> {
  for (let attempt = 0; attempt < 100; attempt++) {
    if (!(await tryBind(host, port))) return;
    await sleep(10);
  }
}

/** The error of binding the address; undefined when it can be bound. */
export async function tryBind(host: string, port: number): Promise<Error | undefined> {
  const probe = createSocket(isIPv6(host) ? 'udp6' : 'udp4');
  const failure = await new Promise<Error | undefined>((resolve) => {
    probe.once('error', resolve);
    probe.bind({ port, address: host, exclusive: true }, () => resolve(undefined));
  });
  await new Promise<void>((resolve) => probe.close(() => resolve()));
  return failure;
}
