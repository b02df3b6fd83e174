import assert from 'node:assert/strict';
import test from 'node:test';
import { type ConnectRouter, createConnectRouter } from '@connectrpc/connect';
import { IdentityError } from '@palyra/identity';
import { HelloService } from '../../../../examples/gen/hello/v1/hello_pb.js';
import { NodeService } from '../gen/palyra/node/v1/node_pb.js';
import type { OwnAccess, OwnCaller } from './access.ts';
import { type OwnService, ownServices } from './own-services.ts';

const greet = () => ({ text: 'hello' });
const hello = (router: ConnectRouter) => router.service(HelloService, { greet });
const all = { 'hello.v1.HelloService/Greet': 'device', 'hello.v1.HelloService/Watch': 'operator' } as const;

function faultsOf(...services: OwnService[]): string[] {
  try {
    ownServices(services);
  } catch (error) {
    assert.ok(error instanceof IdentityError);
    assert.equal(error.code, 'SERVICE_INVALID');
    return error.message.split('\n');
  }
  assert.fail('the services were accepted');
}

test('a service with a row for each method is accepted, and several routers can serve it', () => {
  const { routes, access } = ownServices([{ routes: hello, access: all }]);
  for (const router of [createConnectRouter(), createConnectRouter()]) {
    routes(router);
    assert.deepEqual(
      router.handlers.map(({ requestPath }) => requestPath),
      ['/hello.v1.HelloService/Greet', '/hello.v1.HelloService/Watch'],
    );
  }
  assert.deepEqual({ ...access }, all);
});

test('the routes run once, and a later change of the access table has no effect', () => {
  let runs = 0;
  const rows: Record<string, OwnCaller> = { ...all };
  const routes = (router: ConnectRouter) => {
    runs += 1;
    hello(router);
  };
  const own = ownServices([{ routes, access: rows }]);
  own.routes(createConnectRouter());
  own.routes(createConnectRouter());
  assert.equal(runs, 1);
  rows['hello.v1.HelloService/Watch'] = 'device';
  assert.equal(own.access['hello.v1.HelloService/Watch'], 'operator');
  assert.ok(Object.isFrozen(own.access));
});

test('a method without a row is an error, even if the method has no handler', () => {
  assert.deepEqual(faultsOf({ routes: hello, access: {} }), [
    'hello.v1.HelloService/Greet has no row in the access table.',
    'hello.v1.HelloService/Watch has no row in the access table.',
  ]);
  const rpc = (router: ConnectRouter) => router.rpc(HelloService.method.greet, greet);
  assert.deepEqual(faultsOf({ routes: rpc, access: {} }), [
    'hello.v1.HelloService/Greet has no row in the access table.',
  ]);
});

test('a row for another service does not count', () => {
  const other = { routes: () => {}, access: {} };
  assert.equal(faultsOf({ routes: hello, access: {} }, { ...other, access: all }).length, 4);
});

test('a row for a method that is not registered is an error', () => {
  const access: OwnAccess = {
    ...all,
    'hello.v1.HelloService/Gret': 'device',
    constructor: 'device',
  } as never;
  assert.deepEqual(faultsOf({ routes: hello, access }), [
    'hello.v1.HelloService/Gret is in the access table, but no such method is registered.',
    'constructor is in the access table, but no such method is registered.',
  ]);
});

for (const caller of ['anyone', 'local operator', 'Device', '', undefined, null, {}]) {
  test(`a row for ${JSON.stringify(caller)} is an error`, () => {
    const access = { ...all, 'hello.v1.HelloService/Watch': caller } as never;
    const [fault, ...others] = faultsOf({ routes: hello, access });
    assert.match(fault!, /^hello\.v1\.HelloService\/Watch is for ".*"; it must be "device" or "operator"\.$/);
    assert.deepEqual(others, []);
  });
}

test('a service with a reserved name is an error, even with a row for it', () => {
  const rows = Object.fromEntries(
    NodeService.methods.map(({ name }) => [`${NodeService.typeName}/${name}`, 'device']),
  );
  const faults = faultsOf({ routes: (router) => router.service(NodeService, {}), access: rows as OwnAccess });
  assert.deepEqual(faults, [
    "palyra.node.v1.NodeService/Register has a name of the daemon's own services.",
    ...faults.slice(1),
  ]);
  assert.equal(faults.length, NodeService.methods.length);
});

test('registering a method twice is an error, even by two services', () => {
  const service = { routes: hello, access: all };
  assert.deepEqual(faultsOf(service, service), [
    'hello.v1.HelloService/Greet is registered twice.',
    'hello.v1.HelloService/Watch is registered twice.',
  ]);
});

test('interceptors is the only accepted option: the daemon sets the limits and the check', () => {
  const routes = (router: ConnectRouter) =>
    router.service(
      HelloService,
      { greet },
      { interceptors: [], readMaxBytes: 2 ** 30, acceptCompression: [] },
    );
  assert.deepEqual(faultsOf({ routes, access: all }), [
    'hello.v1.HelloService/Greet is registered with the option readMaxBytes; only interceptors is taken.',
    'hello.v1.HelloService/Greet is registered with the option acceptCompression; only interceptors is taken.',
  ]);
});

test('handlers of another router cannot be slipped in', () => {
  const other = hello(createConnectRouter());
  const routes = (router: ConnectRouter) => router.handlers.push(...other.handlers);
  assert.throws(() => ownServices([{ routes, access: all }]), TypeError);
});

test('an error thrown by routes is passed on', () => {
  const broken = new Error('no database');
  const routes = () => {
    throw broken;
  };
  assert.throws(() => ownServices([{ routes, access: {} }]), broken);
});

test('asynchronous routes are an error, and cannot register anything later', async () => {
  let late: unknown;
  const routes = async (router: ConnectRouter) => {
    hello(router);
    await null;
    try {
      hello(router);
    } catch (error) {
      late = error;
    }
    throw new Error('an error that nobody awaits');
  };
  assert.deepEqual(faultsOf({ routes, access: all }), [
    'routes returns a promise; it must register everything before it returns.',
  ]);
  await new Promise((resolve) => setImmediate(resolve));
  assert.ok(late instanceof TypeError);
});
