// The process of client.go.

import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { certificatesToPem } from '@palyra/identity/certificate';
import type { PairedEnrollment } from '@palyra/identity/device';
import { NodeService } from '@palyra/rpc';
import { credentialOf } from '../../tests/testing/bare-tls.ts';
import { buildGo } from '../../tests/testing/go-program.ts';

export interface Target {
  readonly address: string;
  /** The name in the server's certificate. */
  readonly name: string;
  /** PEM. */
  readonly roots: string;
  /** PEM, one for each device. Connections take them in turn; calls use the first. */
  readonly credentials: readonly { readonly chain: string; readonly key: string }[];
  readonly method: string;
  readonly speaks: 'h2' | 'line';
}

export const method = `/${NodeService.typeName}/${NodeService.method.status.name}`;

/** A daemon, for its devices. */
export const targetOf = (address: string, devices: readonly PairedEnrollment[]): Target => ({
  address,
  name: devices[0]!.trustDomain,
  roots: certificatesToPem(devices[0]!.trustBundle),
  credentials: devices.map((each) => {
    const { cert, key } = credentialOf(each);
    return { chain: cert, key };
  }),
  method,
  speaks: 'h2',
});

export interface Called {
  readonly calls: number;
  readonly elapsedMs: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

export class PeerClient {
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  readonly #lines: AsyncIterator<string>;

  static start(): PeerClient {
    return new PeerClient(
      spawn(buildGo(join(import.meta.dirname, 'client.go')), { stdio: ['pipe', 'pipe', 'inherit'] }),
    );
  }

  private constructor(child: ChildProcessByStdio<Writable, Readable, null>) {
    this.#child = child;
    this.#lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  }

  async reply(target: Target): Promise<Buffer> {
    const { reply } = await this.#ask<{ reply: string }>({ kind: 'reply', target });
    return Buffer.from(reply, 'base64');
  }

  /** Calls without a pause. */
  calls(target: Target, workers: number, milliseconds: number): Promise<Called> {
    return this.#ask({ kind: 'calls', target, workers, milliseconds });
  }

  /** Calls at fixed times. Latencies count from those times. */
  load(target: Target, perSecond: number, milliseconds: number): Promise<Called> {
    return this.#ask({ kind: 'load', target, perSecond, milliseconds });
  }

  /** New connections, each closed after the server's first bytes. @returns how long all took, ms. */
  async connect(target: Target, count: number, workers: number): Promise<number> {
    return (await this.#ask<{ elapsedMs: number }>({ kind: 'connect', target, count, workers })).elapsedMs;
  }

  /** Opens connections until this many are open; 0 closes all. */
  async hold(target: Target, count: number): Promise<void> {
    await this.#ask({ kind: 'hold', target, count, workers: 8 });
  }

  async end(): Promise<void> {
    const ended = once(this.#child, 'exit');
    this.#child.stdin.end();
    await ended;
  }

  async #ask<Answer>(request: object): Promise<Answer> {
    this.#child.stdin.write(`${JSON.stringify(request)}\n`);
    const { value, done } = await this.#lines.next();
    if (done) throw new Error('the client of this benchmark ended');
    return JSON.parse(value);
  }
}
