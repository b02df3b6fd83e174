// The access table is complete, and no caller can bypass it.

import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import type { DescService } from '@bufbuild/protobuf';
import { createClient } from '@connectrpc/connect';
import { systemClock } from '@palyra/identity/values';
import { AdminService, dialAdmin, dialNode, dialPairing, NodeService, PairingService } from '@palyra/rpc';
import { access, Http2Listener } from '@palyra/rpc/transport';
import { connectNode, credentialOf } from '../testing/bare-tls.ts';
import { expectCode } from '../testing/expect-code.ts';
import { frame, rawCall } from '../testing/raw-call.ts';
import { TestDaemon } from '../testing/running-daemon.ts';
import { makeDevice, pair } from '../testing/sample-device.ts';

const generated = new URL('../../packages/rpc/src/gen/', import.meta.url);

/** Every service in the generated code, so that a new one cannot be forgotten here. */
async function everyService(): Promise<DescService[]> {
  const files = readdirSync(generated, { recursive: true, encoding: 'utf8' });
  const modules = await Promise.all(
    files.filter((file) => file.endsWith('_pb.js')).map((file) => import(new URL(file, generated).href)),
  );
  return modules
    .flatMap((module) => Object.values(module) as DescService[])
    .filter((each) => each.kind === 'service');
}

function methodsOf(service: DescService): string[] {
  return service.methods.map((method) => `${service.typeName}/${method.name}`);
}

test('every method of every service is in the access table, and nothing else is', async () => {
  const services = await everyService();
  assert.ok(services.length >= 3);
  assert.deepEqual(Object.keys(access).sort(), services.flatMap(methodsOf).sort());
});

test('each service is for one kind of caller, and some operator calls work only on the daemon’s machine', async () => {
  const callers = {
    'palyra.pairing.v1': ['anyone'],
    'palyra.node.v1': ['device'],
    'palyra.admin.v1': ['operator', 'local operator'],
    'palyra.peer.v1': ['peer'],
    'grpc.health.v1': ['device'],
    'grpc.reflection.v1': ['operator'],
    'grpc.reflection.v1alpha': ['operator'],
  };
  for (const [method, caller] of Object.entries(access)) {
    const [, name] = /^(.+)\.\w+\/\w+$/.exec(method) ?? [];
    assert.ok(callers[name as keyof typeof callers].includes(caller), method);
  }
});

test('on the node listener every operator call refuses a device without the role, with the code', async (t) => {
  const daemon = await TestDaemon.start(t);
  const paired = await pair(daemon, await makeDevice());
  const { session, node } = await connectNode(daemon, credentialOf(paired));
  for (const method of methodsOf(AdminService)) {
    const { headers, trailers } = await rawCall(session, `/${method}`, frame(new Uint8Array()));
    assert.equal(headers[':status'], '200', method);
    const permissionDenied = '7';
    assert.equal(headers['grpc-status'] ?? trailers['grpc-status'], permissionDenied, method);
  }
  for (const method of methodsOf(PairingService)) {
    const answer = await rawCall(session, `/${method}`, frame(new Uint8Array()));
    assert.equal(answer.headers[':status'], '404', method);
  }
  await node.status({});
});

test('the pairing listener serves no other service', async (t) => {
  const daemon = await TestDaemon.start(t);
  const connection = await dialPairing(daemon.pairingAddress);
  daemon.closeAtEnd(connection);
  const admin = createClient(AdminService, connection.transport);
  await assert.rejects(admin.mintCode({}), /404/);
  await assert.rejects(createClient(NodeService, connection.transport).status({}), /404/);
});

test('the access table refuses callers even when a listener offers a service by mistake', async (t) => {
  const daemon = await TestDaemon.start(t);
  const { identity } = daemon.running;
  const paired = await pair(daemon, await makeDevice());
  const reached: string[] = [];
  const listener = await Http2Listener.listen({
    host: '127.0.0.1',
    port: 0,
    clock: systemClock,
    credential: await identity.issueServerCredential({ dnsNames: [], ipAddresses: [] }),
    devices: { trustBundle: identity.trustBundle, authenticator: identity },
    routes: (router) => {
      router.service(AdminService, {
        mintCode: () => {
          reached.push('mintCode');
          return {};
        },
        async *watchPairings() {
          reached.push('watchPairings');
          yield {};
        },
      });
      router.service(PairingService, {
        open: () => {
          reached.push('open');
          return {};
        },
      });
    },
    onInternal: (error) => assert.fail(error as Error),
  });
  t.after(() => listener.close());
  const connection = await dialNode(`127.0.0.1:${listener.port}`, paired);
  t.after(() => connection.close());
  const admin = createClient(AdminService, connection.transport);
  await expectCode(admin.mintCode({}), 'CALLER_NOT_ALLOWED');
  await expectCode(admin.watchPairings({})[Symbol.asyncIterator]().next(), 'CALLER_NOT_ALLOWED');
  await expectCode(createClient(PairingService, connection.transport).open({}), 'CALLER_NOT_ALLOWED');
  assert.deepEqual(reached, []);
});

test('an operator at the admin socket does not pass for a device', async (t) => {
  const daemon = await TestDaemon.start(t);
  const status = await daemon.admin.getStatus({});
  assert.equal(status.daemonId, daemon.running.daemonId);
  const connection = await dialAdmin(`${daemon.home}/daemon/admin.sock`);
  daemon.closeAtEnd(connection);
  await assert.rejects(createClient(NodeService, connection.transport).status({}), /404/);
});
