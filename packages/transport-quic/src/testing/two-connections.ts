// A client in a process of its own with one connection, and then another one while the server does nothing.
// First message: where to connect. Second: the first connection ends, the next one begins, `begun` is created.
// Answer: what the second connection got.

import { writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { IdentityError } from '@palyra/identity';
import type { ClientTlsConfig } from '../../../rpc/src/streams/contract.ts';
import { createQuic } from '../quiche/quic.ts';
import type { QuicheRuntime } from '../quiche/runtime.ts';

export interface TwoConnections {
  readonly port: number;
  readonly tls: ClientTlsConfig;
  readonly runtime: QuicheRuntime;
  /** Time for the server's library to forget the first connection. */
  readonly pauseMs: number;
  /** A path. */
  readonly begun: string;
}

export interface SecondGot {
  /** Text, or the error's code. */
  readonly answer: string | undefined;
  readonly closed: string | undefined;
}

const codeOf = (error: unknown) => (error as IdentityError | undefined)?.code;

process.once('message', async ({ port, tls, runtime, pauseMs, begun }: TwoConnections) => {
  const quic = createQuic({ runtime });
  const dial = () => quic.dial({ host: '127.0.0.1', port, tls });
  const first = await dial();
  await (await first.openStream()).write(Buffer.from('first'));
  process.once('message', async () => {
    first.close();
    await sleep(pauseMs);
    const second = await dial();
    const stream = await second.openStream();
    await stream.write(Buffer.from('second'));
    writeFileSync(begun, '');
    const answer = await stream.read().then((bytes) => bytes && Buffer.from(bytes).toString(), codeOf);
    second.close();
    const closed = codeOf(await second.closed);
    process.send!({ answer, closed } satisfies SecondGot, () => process.exit(0));
  });
});
