// gRPC clients of other people's making, with their defaults: grpc-go and grpcio, as Debian has them. Both take the same
// setup on stdin (see tests/foreign) and print one line of JSON.

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { certificatesToPem } from '@palyra/identity/certificate';
import type { PairedEnrollment } from '@palyra/identity/device';
import { type Credential, credentialOf } from './bare-tls.ts';
import { buildGo, skipGo } from './go-program.ts';
import { longestWaitMs } from './until.ts';

/** Debian's own: another python3 may come first in PATH, and would not find Debian's packages. */
const python = '/usr/bin/python3';
const sources = join(import.meta.dirname, '../foreign');

export interface ForeignClient {
  readonly name: 'grpc-go' | 'grpcio';
  /** Why tests of it are skipped, or false. */
  readonly skip: string | false;
  /** @returns program and arguments. */
  command(): readonly [string, ...string[]];
}

export const grpcGo: ForeignClient = {
  name: 'grpc-go',
  skip: skipGo,
  command: () => [buildGo('grpc_go.go')],
};

export const grpcio: ForeignClient = {
  name: 'grpcio',
  skip:
    spawnSync(python, ['-c', 'import grpc'], { stdio: 'ignore' }).status !== 0 &&
    `${python} has no grpc. Install it: sudo apt-get install python3-grpcio`,
  command: () => [python, join(sources, 'grpcio.py')],
};

export interface Setup {
  readonly kind: 'load' | 'wave' | 'stream';
  /** `/package.Service/Method` */
  readonly method: string;
  readonly [more: string]: unknown;
}

export interface Outcomes {
  readonly calls: number;
  readonly failed: number;
  /** How many of each, as `CODE: MESSAGE`. */
  readonly failures: Readonly<Record<string, number>>;
}

export interface StreamEnd {
  readonly code: string;
  readonly message: string;
  /** Messages, in hex. */
  readonly replies: readonly string[];
  /** From its begin to its end, ms. */
  readonly elapsed: number;
  /** What ended the last connection, where the client tells it. */
  readonly connection?: string;
}

/** Runs the client as a device. @param longestMs it is killed when it takes longer. */
export function runForeign<Answer = Outcomes>(
  client: ForeignClient,
  address: string,
  enrollment: PairedEnrollment,
  setup: Setup,
  longestMs = longestWaitMs,
): Promise<Answer> {
  return runForeignWith(client, address, enrollment, credentialOf(enrollment), setup, longestMs);
}

/** Runs the client with any certificate, or none. */
export async function runForeignWith<Answer>(
  client: ForeignClient,
  address: string,
  { trustDomain, trustBundle }: Pick<PairedEnrollment, 'trustDomain' | 'trustBundle'>,
  { cert, key }: Credential = { cert: '', key: '' },
  setup: Setup,
  longestMs = longestWaitMs,
): Promise<Answer> {
  const [program, ...words] = client.command();
  const child = spawn(program, words, { timeout: longestMs, killSignal: 'SIGKILL' });
  child.stdin.end(
    `${JSON.stringify({
      address,
      // The daemon is known by its trust domain, which its certificate names, not by where it is.
      name: trustDomain,
      roots: certificatesToPem(trustBundle),
      certificate: cert,
      key,
      ...setup,
    })}\n`,
  );
  const [answer, problems] = await Promise.all([text(child.stdout), text(child.stderr)]);
  assert.notEqual(answer, '', `${client.name} said nothing. ${problems}`);
  return JSON.parse(answer);
}
