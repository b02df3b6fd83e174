// Foreign gRPC clients with their defaults: grpc-go and grpcio from Debian. Both read the same setup on stdin (see
// tests/foreign) and print one line of JSON.

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { certificatesToPem } from '@palyra/identity/certificate';
import type { PairedEnrollment } from '@palyra/identity/device';
import { type Credential, credentialOf } from './bare-tls.ts';
import { buildGo, skipGo } from './go-program.ts';
import { longestWaitMs } from './until.ts';

/** Debian's python3. Another one may come first in PATH, and would not find Debian's packages. */
const python = '/usr/bin/python3';
const sources = join(import.meta.dirname, '../foreign');

export interface ForeignClient {
  readonly name: 'grpc-go' | 'grpcio';
  /** The reason to skip its tests, or false. */
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
  /** The number of each outcome, as `CODE: MESSAGE`. */
  readonly failures: Readonly<Record<string, number>>;
}

export interface StreamEnd {
  readonly code: string;
  readonly message: string;
  /** Messages, in hex. */
  readonly replies: readonly string[];
  /** Duration, ms. */
  readonly elapsed: number;
  /** The reason for the end of the last connection, if the client reports it. */
  readonly connection?: string;
}

/** Runs the client as a device. @param longestMs time limit, after which it is killed. */
export function runForeign<Answer = Outcomes>(
  client: ForeignClient,
  address: string,
  enrollment: PairedEnrollment,
  setup: Setup,
  longestMs = longestWaitMs,
): Promise<Answer> {
  return runForeignWith(client, address, enrollment, credentialOf(enrollment), setup, longestMs);
}

/** Runs the client with any certificate, or without one. */
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
      // The client verifies the daemon by its trust domain, which the certificate names, not by its address.
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
