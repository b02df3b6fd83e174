// Debian's python3-grpcio, an independent gRPC client, holds streams as a device and as the operator.

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { type TestContext, test } from 'node:test';
import { create, type DescMessage, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { certificatesToPem } from '@palyra/identity/certificate';
import type { PairedEnrollment } from '@palyra/identity/device';
import { AdminService, NodeService } from '@palyra/rpc';
import { PairingState, Transport } from '@palyra/rpc/admin';
import { credentialOf } from '../testing/bare-tls.ts';
import { TestDaemon } from '../testing/running-daemon.ts';
import { makeDevice, pair } from '../testing/sample-device.ts';
import { until } from '../testing/until.ts';

/** Debian's own: another python3 may come first in PATH, and would not find Debian's packages. */
const python = '/usr/bin/python3';
const missing = spawnSync(python, ['-c', 'import grpc'], { stdio: 'ignore' }).status !== 0;
const skip = missing && `${python} has no grpc. Install it: sudo apt-get install python3-grpcio`;

const { events } = NodeService.method;
const { watchPairings } = AdminService.method;

interface End {
  readonly code: string;
  readonly message: string;
  readonly details: string;
}

class PythonStream {
  readonly #child;
  readonly #lines: AsyncIterator<string>;

  /** @param timeout of the call, seconds. */
  static asDevice(t: TestContext, daemon: TestDaemon, paired: PairedEnrollment, timeout = 60): PythonStream {
    const { cert, key } = credentialOf(paired);
    return new PythonStream(t, {
      address: daemon.nodeAddress,
      name: paired.trustDomain,
      roots: certificatesToPem(paired.trustBundle),
      certificate: cert,
      key,
      method: `/${NodeService.typeName}/${events.name}`,
      kind: 'bidi',
      timeout,
    });
  }

  static asOperator(t: TestContext, daemon: TestDaemon): PythonStream {
    return new PythonStream(t, {
      address: `unix:${join(daemon.home, 'daemon', 'admin.sock')}`,
      roots: null,
      method: `/${AdminService.typeName}/${watchPairings.name}`,
      kind: 'server',
      timeout: 60,
    });
  }

  private constructor(t: TestContext, setup: object) {
    this.#child = spawn(python, [join(import.meta.dirname, '../testing/grpc_stream.py')], {
      stdio: ['pipe', 'pipe', 'inherit'],
      timeout: 90_000,
    });
    t.after(() => this.#child.kill('SIGKILL'));
    this.#lines = createInterface(this.#child.stdout)[Symbol.asyncIterator]();
    this.#step(setup);
  }

  send(event: MessageInitShape<typeof events.input>): void {
    const bytes = toBinary(events.input, create(events.input, event));
    this.#step({ send: Buffer.from(bytes).toString('hex') });
  }

  cancel(): void {
    this.#step({ cancel: true });
  }

  async next<Schema extends DescMessage>(schema: Schema) {
    const line = await this.#line();
    assert.ok('reply' in line, `the call ended: ${JSON.stringify(line)}`);
    return fromBinary(schema, Buffer.from(line.reply, 'hex'));
  }

  async end(): Promise<End> {
    const line = await this.#line();
    assert.ok('code' in line, 'one more message');
    return line;
  }

  #step(step: object): void {
    this.#child.stdin.write(`${JSON.stringify(step)}\n`);
  }

  async #line(): Promise<End | { reply: string }> {
    const { value, done } = await this.#lines.next();
    assert.ok(!done, 'the client ended without output');
    return JSON.parse(value);
  }
}

const hello = { event: { case: 'hello' as const, value: { agentId: new Uint8Array(16).fill(7) } } };

/** A device with an open channel. */
async function connected(t: TestContext, timeout?: number) {
  const daemon = await TestDaemon.start(t);
  const device = await makeDevice();
  const stream = PythonStream.asDevice(t, daemon, await pair(daemon, device), timeout);
  stream.send(hello);
  assert.equal((await stream.next(events.output)).event.case, 'welcome');
  const { id } = device.identity;
  const transport = async () => (await daemon.admin.getDevice({ id })).device?.transport;
  assert.equal(await transport(), Transport.HTTP2);
  return { daemon, id, stream, transport };
}

/** The daemon notices the end when its packet arrives. */
async function isGone(transport: () => Promise<Transport | undefined>): Promise<void> {
  await until('the daemon sees it leave', async () => (await transport()) === Transport.UNSPECIFIED);
}

test('python3-grpcio is a device that runs capabilities, until it cancels its channel', {
  skip,
}, async (t) => {
  const { daemon, id, stream, transport } = await connected(t);
  const input = new TextEncoder().encode('"Anna"');
  const asked = daemon.admin.executeCapability({ deviceId: id, capability: 'greet', input });
  const { event: execute } = await stream.next(events.output);
  assert.ok(execute.case === 'execute');
  assert.equal(execute.value.capability, 'greet');
  assert.deepEqual(Buffer.from(execute.value.input), Buffer.from(input));
  const { callId } = execute.value;
  const output = new TextEncoder().encode('"Hello Anna"');
  stream.send({ event: { case: 'result', value: { callId, outcome: { case: 'output', value: output } } } });
  assert.deepEqual(Buffer.from((await asked).output), Buffer.from(output));
  const { event: settled } = await stream.next(events.output);
  assert.ok(settled.case === 'settled' && settled.value.callId === callId);

  stream.cancel();
  assert.equal((await stream.end()).code, 'CANCELLED');
  await isGone(transport);
});

test("python3-grpcio's deadline ends its channel on both sides", { skip }, async (t) => {
  const { stream, transport } = await connected(t, 5);
  assert.equal((await stream.end()).code, 'DEADLINE_EXCEEDED');
  await isGone(transport);
});

test('python3-grpcio hears on its channel that its device was revoked', { skip }, async (t) => {
  const { daemon, id, stream } = await connected(t);
  await daemon.admin.revokeDevice({ id, reason: 'lost' });
  const { code, details } = await stream.end();
  assert.equal(code, 'UNAUTHENTICATED');
  assert.match(Buffer.from(details, 'hex').toString('latin1'), /DEVICE_REVOKED/);
});

test('python3-grpcio watches the pairings as the operator, until it cancels', { skip }, async (t) => {
  const daemon = await TestDaemon.start(t);
  await daemon.admin.mintCode({});
  const stream = PythonStream.asOperator(t, daemon);
  const { id } = await stream.next(watchPairings.output);
  await daemon.admin.mintCode({});
  const later = await stream.next(watchPairings.output);
  assert.equal(later.state, PairingState.WAITING);
  assert.notEqual(later.id, id);
  stream.cancel();
  assert.equal((await stream.end()).code, 'CANCELLED');
});
