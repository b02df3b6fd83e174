// Requests that no client library makes, from strangers and from a paired device. The daemon keeps working,
// answers the next valid request, and prints no errors.

import assert from 'node:assert/strict';
import http2 from 'node:http2';
import { test } from 'node:test';
import type tls from 'node:tls';
import { awaitPairing, type PairedEnrollment, requestPairing } from '@palyra/identity/device';
import { parsePairingCode } from '@palyra/identity/pairing';
import { AdminService, NodeService, PairingService } from '@palyra/rpc';
import { bareSocket, credentialOf } from '../testing/bare-tls.ts';
import { DaemonProcess } from '../testing/daemon-process.ts';
import { configure, makeHome } from '../testing/palyra-process.ts';
import { frame } from '../testing/raw-call.ts';
import { makeDevice } from '../testing/sample-device.ts';
import { longestWaitMs } from '../testing/until.ts';

const calls = 600;
const atOnce = 8;
/** A stream that does not end, like Await, is abandoned after this time. */
const longestCallMs = 100;
/** Node's client does not always notice that such a request ended its session. */
const longestSessionMs = 2_000;

const paths = [PairingService, NodeService, AdminService].flatMap(({ typeName, methods }) =>
  methods.map(({ name }) => `/${typeName}/${name}`),
);
/** Undefined if it is not sent. */
const fields: Readonly<Record<string, readonly (string | string[] | undefined)[]>> = {
  ':method': ['POST', 'POST', 'POST', 'POST', 'GET', 'PUT', 'HEAD', 'OPTIONS'],
  ':path': [
    ...paths,
    ...paths,
    ...paths,
    `${paths[0]}?a=b`,
    `${paths[1]}/`,
    '*',
    '/',
    '//',
    '/%',
    `/${'x'.repeat(2000)}`,
  ],
  ':authority': [undefined, 'here', '[', '%', 'x:99999999', 'a:b:c'],
  ':scheme': ['https', 'https', 'http', 'javascript'],
  'content-type': [
    'application/grpc',
    'application/grpc+proto',
    'application/grpc+json',
    'application/grpc-web+proto',
    'application/connect+json',
    'application/json',
    'application/proto',
    'text/plain',
    '',
    undefined,
  ],
  'content-length': [...Array(9).fill(undefined), '0', '5', '99999999999'],
  'grpc-timeout': [undefined, undefined, '1S', '1n', '99999999H', '-1S', 'x', ''],
  'connect-timeout-ms': [undefined, undefined, '1', '9999999999', '-1', 'x'],
  'connect-protocol-version': [undefined, '1', '2'],
  'grpc-encoding': [undefined, undefined, 'gzip', 'identity', ''],
  'content-encoding': [undefined, undefined, 'gzip', 'x'],
  expect: [...Array(9).fill(undefined), '100-continue', 'wonders'],
  host: [undefined, undefined, '[', ''],
  cookie: [undefined, undefined, ['a=b', 'c=d']],
  'x-bin': [undefined, '====', '\u00e4', 'y'.repeat(3000)],
};
const bodies: readonly Uint8Array[] = [
  frame(Buffer.alloc(0)),
  frame(Buffer.of(10, 0)),
  frame(Buffer.from('{}')),
  Buffer.from('{}'),
  Buffer.alloc(1),
  Buffer.of(1, 0, 0, 0, 0),
  Buffer.of(0, 255, 255, 255, 255),
  Buffer.alloc(400, 0xff),
];

/** Mulberry32: the same requests each time. https://gist.github.com/tommyettinger/46a874533244883189143505d203312c */
class Dice {
  #state: number;

  constructor(seed: number) {
    this.#state = seed;
  }

  below(count: number): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % count;
  }

  of<T>(choices: readonly T[]): T {
    return choices[this.below(choices.length)]!;
  }
}

/** Resolves when the request is over in any way. */
function ask(session: http2.ClientHttp2Session, dice: Dice): Promise<void> {
  const chosen = Object.entries(fields).map(([name, values]) => [name, dice.of(values)] as const);
  const headers = Object.fromEntries(chosen.filter(([, value]) => value !== undefined));
  const [parts, cut] = [Array.from({ length: dice.below(4) }, () => dice.of(bodies)), dice.below(5) === 0];
  return new Promise((resolve) => {
    const stream = session.request(headers, { endStream: false });
    const tired = setTimeout(() => stream.close(dice.of([2, 7, 8])), longestCallMs);
    const stuck = setTimeout(() => session.destroy(), longestSessionMs);
    stream.on('error', () => {}).resume();
    stream.once('close', () => {
      clearTimeout(tired);
      clearTimeout(stuck);
      resolve();
    });
    for (const part of parts) stream.write(part);
    if (cut) stream.close(dice.of([2, 7, 8]));
    else stream.end();
  });
}

/** Reconnects whenever the daemon closes the connection. */
async function askAll(dial: () => Promise<http2.ClientHttp2Session>, dice: Dice): Promise<void> {
  let session = await dial();
  for (let asked = 0; asked < calls; asked += atOnce) {
    if (session.closed || session.destroyed) session = await dial();
    await Promise.all(Array.from({ length: atOnce }, () => ask(session, dice)));
  }
  session.destroy();
}

async function pair(daemon: DaemonProcess): Promise<PairedEnrollment> {
  const [device, admin, peer] = [await makeDevice(), await daemon.admin(), await daemon.peer()];
  const { code } = await admin.mintCode({});
  const pending = await requestPairing(device, peer, parsePairingCode(code), daemon.pairingAddress);
  await admin.approvePairing({ id: pending.requestId, operator: true });
  return awaitPairing(device, peer, pending, { signal: AbortSignal.timeout(longestWaitMs) });
}

test('requests of every shape, from strangers and from a device, disturb nobody', async (t) => {
  const home = await makeHome(t);
  await configure(home, { limits: { opensPerMinutePerSource: 100_000 } });
  const daemon = await DaemonProcess.start(t, { home });
  const enrollment = await pair(daemon);
  const dial = async (address: string, options: tls.ConnectionOptions) => {
    const socket = await bareSocket(address, { rejectUnauthorized: false, ...options });
    const session = http2.connect(`https://${address}`, { createConnection: () => socket });
    return session.on('error', () => {});
  };
  await askAll(() => dial(daemon.pairingAddress, {}), new Dice(1));
  const { trustDomain: servername } = daemon;
  await askAll(() => dial(daemon.nodeAddress, { servername, ...credentialOf(enrollment) }), new Dice(2));
  await pair(daemon);
  const node = await daemon.node(enrollment);
  assert.equal((await node.status({})).trustDomain, daemon.trustDomain);
  assert.equal((await daemon.stop()).stderr, '');
});
