// Debian's python3-grpcio, an independent gRPC client, calls the node listener.

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { fromBinary } from '@bufbuild/protobuf';
import { findTrailerError } from '@connectrpc/connect/protocol-grpc';
import { callingDevice, type OwnService } from '@palyra/daemon';
import type { IdentityError } from '@palyra/identity';
import { certificatesToPem } from '@palyra/identity/certificate';
import type { PairedEnrollment } from '@palyra/identity/device';
import { fromConnectError, NodeService } from '@palyra/rpc';
import { HelloService } from '../../examples/gen/hello/v1/hello_pb.js';
import { type Credential, credentialOf } from '../testing/bare-tls.ts';
import { TestDaemon } from '../testing/running-daemon.ts';
import { makeDevice, pair } from '../testing/sample-device.ts';

/** Debian's own: another python3 may come first in PATH, and would not find Debian's packages. */
const python = '/usr/bin/python3';
const missing = spawnSync(python, ['-c', 'import grpc'], { stdio: 'ignore' }).status !== 0;
const skip = missing && `${python} has no grpc. Install it: sudo apt-get install python3-grpcio`;

interface PythonAnswer {
  readonly code: string;
  readonly message: string;
  readonly reply: string;
  readonly details: string;
}

test('python3-grpcio calls Status with the certificate and key of a paired device', { skip }, async (t) => {
  const daemon = await TestDaemon.start(t);
  const device = await makeDevice({ name: 'a python program' });
  const paired = await pair(daemon, device);
  const { code, message, reply } = await callStatus(daemon, paired, credentialOf(paired));
  assert.deepEqual({ code, message }, { code: 'OK', message: '' });
  const status = fromBinary(NodeService.method.status.output, Buffer.from(reply, 'hex'));
  assert.equal(status.deviceId, device.identity.id);
  assert.equal(status.deviceName, 'a python program');
  assert.equal(status.daemonId, daemon.running.daemonId);
});

test('python3-grpcio without a certificate gets no answer', { skip }, async (t) => {
  const daemon = await TestDaemon.start(t);
  const paired = await pair(daemon, await makeDevice());
  const { code, reply, details } = await callStatus(daemon, paired, undefined);
  assert.deepEqual({ code, reply, details }, { code: 'UNAVAILABLE', reply: '', details: '' });
});

test('python3-grpcio with the certificate of a revoked device is told so', { skip }, async (t) => {
  const daemon = await TestDaemon.start(t);
  const device = await makeDevice();
  const paired = await pair(daemon, device);
  await daemon.admin.revokeDevice({ id: device.identity.id, reason: 'lost' });
  const answer = await callStatus(daemon, paired, credentialOf(paired));
  assert.equal(answer.code, 'UNAUTHENTICATED');
  const error = errorIn(answer);
  assert.equal(error.code, 'DEVICE_REVOKED');
  assert.equal(error.message, answer.message);
});

test('python3-grpcio calls a service that the embedding program added, as it calls the daemon’s own', {
  skip,
}, async (t) => {
  const hello: OwnService = {
    access: { 'hello.v1.HelloService/Greet': 'device', 'hello.v1.HelloService/Watch': 'operator' },
    routes: (router) =>
      router.service(HelloService, {
        greet: (_request, context) => ({ text: `hello, ${callingDevice(context).name}` }),
      }),
  };
  const daemon = await TestDaemon.start(t, { services: [hello] });
  const paired = await pair(daemon, await makeDevice({ name: 'a python program' }));
  const call = (name: string) =>
    callByPython(daemon, paired, credentialOf(paired), `/${HelloService.typeName}/${name}`);
  const { code, message, reply } = await call('Greet');
  assert.deepEqual({ code, message }, { code: 'OK', message: '' });
  const { text } = fromBinary(HelloService.method.greet.output, Buffer.from(reply, 'hex'));
  assert.equal(text, 'hello, a python program');
  const refused = await call('Watch');
  assert.equal(refused.code, 'PERMISSION_DENIED');
  assert.equal(errorIn(refused).code, 'CALLER_NOT_ALLOWED');
});

const callStatus = (daemon: TestDaemon, paired: PairedEnrollment, credential: Credential | undefined) =>
  callByPython(daemon, paired, credential, `/${NodeService.typeName}/Status`);

async function callByPython(
  daemon: TestDaemon,
  { trustDomain, trustBundle }: PairedEnrollment,
  credential: Credential | undefined,
  method: string,
): Promise<PythonAnswer> {
  const child = spawn(python, [join(import.meta.dirname, '../testing/grpc_call.py')], { timeout: 60_000 });
  child.stdin.end(
    JSON.stringify({
      address: daemon.nodeAddress,
      name: trustDomain,
      roots: certificatesToPem(trustBundle),
      certificate: credential?.cert ?? null,
      key: credential?.key ?? null,
      method,
      // A call that gets no answer need not wait long.
      timeout: credential ? 20 : 2,
    }),
  );
  const [answer, problems] = await Promise.all([text(child.stdout), text(child.stderr)]);
  assert.notEqual(answer, '', problems);
  return JSON.parse(answer);
}

/** The stable code, from grpc-status-details-bin, as any client can read it. */
function errorIn({ details }: PythonAnswer): IdentityError {
  assert.notEqual(details, '', 'there is no grpc-status-details-bin');
  const trailers = new Headers({
    'grpc-status': '16',
    'grpc-status-details-bin': Buffer.from(details, 'hex').toString('base64'),
  });
  return fromConnectError(findTrailerError(trailers));
}
