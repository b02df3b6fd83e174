// Mistakes in an embedding program's service affect only the call in which they happen.

import assert from 'node:assert/strict';
import test, { type TestContext } from 'node:test';
import { Code, ConnectError, createClient, type HandlerContext } from '@connectrpc/connect';
import type { OwnService } from '@palyra/daemon';
import { AdminService, dialNode } from '@palyra/rpc';
import { createQuic, dialNodeQuic } from '@palyra/transport-quic';
import { HelloService } from '../../examples/gen/hello/v1/hello_pb.js';
import { expectCode } from '../testing/expect-code.ts';
import { TestDaemon } from '../testing/running-daemon.ts';
import { makeDevice, pair } from '../testing/sample-device.ts';
import { serviceNamed } from '../testing/service-named.ts';
import { within } from '../testing/until.ts';

const quic = createQuic();
const transports = ['http2', 'quic'] as const;
const kinds = ['unary', 'stream'] as const;
const timeoutMs = 30_000;
const Wrong = serviceNamed('wrong.v1');
const wrongService: OwnService = {
  access: Object.fromEntries(Wrong.methods.map(({ name }) => [`${Wrong.typeName}/${name}`, 'device'])),
  routes: (router) =>
    router.service(Wrong, {
      unary: () => ({ count: -1 }),
      async *serverStream() {
        yield { count: -1 };
      },
    }),
};
type Handle = (context: HandlerContext) => void | PromiseLike<void>;

async function serve(t: TestContext, transport: (typeof transports)[number], handle: Handle) {
  const told: unknown[] = [];
  const service: OwnService = {
    access: { 'hello.v1.HelloService/Greet': 'device', 'hello.v1.HelloService/Watch': 'device' },
    routes: (router) =>
      router.service(HelloService, {
        // Returns the handler's own promise, of any kind.
        greet: ({ greeting }, context) => (greeting === 'well' ? {} : ((handle(context) ?? {}) as object)),
        async *watch(_, context) {
          await handle(context);
          yield { tick: 1 };
        },
      }),
  };
  const daemon = await TestDaemon.start(t, {
    services: [service, wrongService],
    onError: (error) => told.push(error),
  });
  const device = await makeDevice();
  const enrollment = await pair(daemon, device, { operator: true });
  const dial = () =>
    transport === 'http2' ? dialNode(enrollment.nodeAddress, enrollment) : dialNodeQuic(quic, enrollment);
  const connection = await dial();
  daemon.closeAtEnd(connection);
  const hello = createClient(HelloService, connection.transport);
  const call = async (kind: (typeof kinds)[number]) => {
    if (kind === 'unary') await hello.greet({}, { timeoutMs });
    else for await (const _ of hello.watch({}, { timeoutMs }));
  };
  const callWell = () => hello.greet({ greeting: 'well' }, { timeoutMs });
  return { told, daemon, device, connection, call, callWell };
}

const unsendable: Readonly<Record<string, () => ConnectError>> = {
  'a field that HTTP/2 forbids': () => new ConnectError('no', Code.NotFound, { connection: 'close' }),
  'more bytes than a header may have': () =>
    new ConnectError('no', Code.NotFound, { many: 'x'.repeat(20_000) }),
  'a status that does not exist': () => new ConnectError('no', 0 as Code),
  'a detail that cannot be encoded': () => {
    const error = new ConnectError('no', Code.NotFound);
    error.details.push({ desc: {} as never, value: {} });
    return error;
  },
};

for (const transport of transports) {
  for (const kind of kinds) {
    for (const [what, make] of Object.entries(unsendable))
      test(`over ${transport}, an error of a ${kind} with ${what} is a bug of its handler`, async (t) => {
        const error = make();
        const { told, call, callWell } = await serve(t, transport, () => {
          throw error;
        });
        await expectCode(call(kind), 'INTERNAL');
        assert.deepEqual(told, [error]);
        await callWell();
      });

    test(`over ${transport}, a ${kind} may fail with half a character, and with a text of any length`, async (t) => {
      const texts = ['cut \ud83d', 'ä'.repeat(500_000)];
      const { told, call } = await serve(t, transport, () => {
        throw new ConnectError(texts.shift()!, Code.NotFound);
      });
      await assert.rejects(call(kind), { code: Code.NotFound, rawMessage: 'cut \ufffd' });
      await assert.rejects(call(kind), { code: Code.NotFound, rawMessage: `${'ä'.repeat(500)}...` });
      assert.deepEqual(told, []);
    });

    test(`over ${transport}, an answer of a ${kind} that cannot be encoded is a bug of its handler`, async (t) => {
      const { told, connection } = await serve(t, transport, () => {});
      const wrong = createClient(Wrong, connection.transport);
      const call =
        kind === 'unary'
          ? wrong.unary({}, { timeoutMs })
          : wrong.serverStream({}, { timeoutMs })[Symbol.asyncIterator]().next();
      const { message } = await expectCode(call, 'INTERNAL');
      assert.doesNotMatch(message, /count/);
      assert.equal(told.length, 1);
      assert.match(String(told[0]), /count/);
    });

    test(`over ${transport}, a connection that the handler of a ${kind} lost is not the caller's`, async (t) => {
      const lost = Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' });
      const { told, call } = await serve(t, transport, () => {
        throw lost;
      });
      await expectCode(call(kind), 'INTERNAL');
      assert.deepEqual(told, [lost]);
    });
  }

  test(`over ${transport}, the promise of another library is not answered to a device that was revoked meanwhile`, async (t) => {
    const [begun, ended] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const handle = (): PromiseLike<void> => {
      begun.resolve();
      // biome-ignore lint/suspicious/noThenProperty: query builders are such objects.
      return { then: (resolve, reject) => ended.promise.then(resolve, reject) };
    };
    const { daemon, device, call } = await serve(t, transport, handle);
    const outcome = expectCode(call('unary'), 'DEVICE_REVOKED');
    await within('the handler', begun.promise);
    await daemon.admin.revokeDevice({ id: device.identity.id, reason: 'lost' });
    ended.resolve();
    await outcome;
  });

  test(`over ${transport}, a missing object is reported to an operator in a text that can be sent`, async (t) => {
    const { told, connection } = await serve(t, transport, () => {});
    const admin = createClient(AdminService, connection.transport);
    await expectCode(admin.getPairing({ id: 'ä'.repeat(400_000) }, { timeoutMs }), 'PAIRING_NOT_FOUND');
    await admin.getStatus({}, { timeoutMs });
    assert.deepEqual(told, []);
  });
}

for (const [where, set] of Object.entries({
  header: (context: HandlerContext) => context.responseHeader,
  trailer: (context: HandlerContext) => context.responseTrailer,
}))
  for (const kind of kinds)
    for (const [name, value] of Object.entries({ connection: 'close', many: 'x'.repeat(100_000) }))
      test(`over http2, a ${kind} whose ${where} has the field ${name}, which cannot be sent, is reset, and its connection stays`, async (t) => {
        const { told, call, callWell } = await serve(t, 'http2', (context) => set(context).set(name, value));
        await assert.rejects(call(kind), /NGHTTP2_INTERNAL_ERROR/);
        assert.equal(told.length, 1);
        await callWell();
      });
