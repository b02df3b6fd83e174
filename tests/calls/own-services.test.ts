// Services of an embedding program: on both transports they have the same check, limits, caller and end of calls
// as the daemon's own services.

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import {
  Code,
  ConnectError,
  type ConnectRouter,
  createClient,
  type HandlerContext,
  type Interceptor,
} from '@connectrpc/connect';
import { callingDevice, type OwnService, startDaemon } from '@palyra/daemon';
import { hasCode, IdentityError } from '@palyra/identity';
import type { PairedEnrollment } from '@palyra/identity/device';
import {
  dialAdmin,
  dialNode,
  dialPairing,
  fromConnectError,
  type NodeConnection,
  type OwnCaller,
} from '@palyra/rpc';
import { deviceRoles } from '@palyra/rpc/admin';
import { createQuic, dialNodeQuic } from '@palyra/transport-quic';
import {
  Health,
  HealthCheckResponse_ServingStatus,
} from '../../packages/rpc/src/gen/grpc/health/v1/health_pb.js';
import { ServerReflection } from '../../packages/rpc/src/gen/grpc/reflection/v1/reflection_pb.js';
import { expectCode } from '../testing/expect-code.ts';
import { day, HeldClock } from '../testing/held-clock.ts';
import { TestDaemon, type TestDaemonOptions } from '../testing/running-daemon.ts';
import { makeDevice, pair } from '../testing/sample-device.ts';
import { serviceNamed } from '../testing/service-named.ts';
import { variants } from '../testing/soak.ts';
import { temporaryFolder } from '../testing/temporary-folder.ts';
import { within } from '../testing/until.ts';

/** A service with every kind of call, under its own name. */
const Mine = serviceNamed('mine.v1');
const quic = createQuic();
const transports = ['http2', 'quic'] as const;
type Transport = (typeof transports)[number];
const kinds = ['unary', 'clientStream', 'serverStream', 'bidi'] as const;
type Kind = (typeof kinds)[number];
/** Over QUIC every kind takes the same way as a stream in both directions, except that a unary call reads its message first. */
const kindsOver = (transport: Transport) =>
  variants(kinds, (kind) => transport === 'http2' || kind === 'unary' || kind === 'bidi');

interface Behaviour {
  readonly caller?: OwnCaller;
  /** Runs in every handler. Its result is the answer to the caller. */
  readonly handle: (context: HandlerContext, text: string) => Promise<string> | string;
  readonly interceptors?: Interceptor[];
}

function mine({ caller = 'device', handle, interceptors }: Behaviour): OwnService {
  const rows = Mine.methods.map(({ name }) => [`${Mine.typeName}/${name}`, caller] as const);
  const routes = (router: ConnectRouter) =>
    router.service(
      Mine,
      {
        unary: async ({ behaviour }, context) => ({ text: await handle(context, behaviour) }),
        async clientStream(asks, context) {
          for await (const { behaviour } of asks) return { text: await handle(context, behaviour) };
          return {};
        },
        async *serverStream({ behaviour }, context) {
          yield { text: await handle(context, behaviour) };
        },
        async *bidi(asks, context) {
          for await (const { behaviour } of asks) yield { text: await handle(context, behaviour) };
        },
      },
      interceptors && { interceptors },
    );
  return { access: Object.fromEntries(rows), routes };
}

async function enroll(
  t: TestContext,
  behaviour: Behaviour,
  options: TestDaemonOptions = {},
  operator = false,
) {
  const daemon = await TestDaemon.start(t, { ...options, services: [mine(behaviour)] });
  const device = await makeDevice({ name: 'kitchen', ...(options.clock && { clock: options.clock }) });
  return { daemon, device, enrollment: await pair(daemon, device, { operator }) };
}

function dialBy(transport: Transport, enrollment: PairedEnrollment): Promise<NodeConnection> {
  return transport === 'http2'
    ? dialNode(enrollment.nodeAddress, enrollment)
    : dialNodeQuic(quic, enrollment);
}

async function dial(
  daemon: TestDaemon,
  transport: Transport,
  enrollment: PairedEnrollment,
  signal = new AbortController().signal,
) {
  const connection = await dialBy(transport, enrollment);
  daemon.closeAtEnd(connection);
  const client = createClient(Mine, connection.transport);
  const call = async (kind: Kind, behaviour = ''): Promise<string> => {
    if (kind === 'unary') return (await client.unary({ behaviour }, { signal })).text;
    if (kind === 'clientStream') return (await client.clientStream(sent(behaviour), { signal })).text;
    const answers =
      kind === 'bidi'
        ? client.bidi(sent(behaviour), { signal })
        : client.serverStream({ behaviour }, { signal });
    let text = '';
    for await (const answer of answers) text += answer.text;
    return text;
  };
  return { call, closed: connection.closed };
}

async function* sent(behaviour: string) {
  yield { behaviour };
}

/** A handler that runs until its signal is aborted, and the reason of the abort. */
function endless() {
  const running = Promise.withResolvers<void>();
  const ended = Promise.withResolvers<unknown>();
  const handle = async ({ signal }: HandlerContext): Promise<string> => {
    const aborted = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
    running.resolve();
    await aborted;
    ended.resolve(signal.reason);
    // Like Node's own functions that accept a signal.
    throw Object.assign(new Error('The operation was aborted', { cause: signal.reason }), {
      name: 'AbortError',
    });
  };
  return {
    handle,
    running: within('the handler', running.promise),
    ended: within('the end of the handler', ended.promise),
  };
}

for (const transport of transports) {
  for (const kind of kindsOver(transport)) {
    test(`over ${transport}, a handler of ${kind} knows who calls`, async (t) => {
      const { daemon, device, enrollment } = await enroll(t, {
        handle: (context) => JSON.stringify(callingDevice(context)),
      });
      const { call } = await dial(daemon, transport, enrollment);
      const { deviceId, name, role, serial } = JSON.parse(await call(kind));
      const { certificates } = await daemon.admin.getDevice({ id: device.identity.id });
      assert.deepEqual(
        { deviceId, name, role, serial },
        { deviceId: device.identity.id, name: 'kitchen', role: 'device', serial: certificates[0]!.serial },
      );
    });

    test(`over ${transport}, a revocation ends a running ${kind} on both sides, and nothing is reported as a bug`, async (t) => {
      const handler = endless();
      const { daemon, device, enrollment } = await enroll(t, handler);
      const live = await dial(daemon, transport, enrollment);
      const outcome = expectCode(live.call(kind), 'DEVICE_REVOKED');
      await handler.running;
      await daemon.admin.revokeDevice({ id: device.identity.id, reason: 'lost' });
      await outcome;
      const reason = await handler.ended;
      assert.ok(hasCode(reason, 'DEVICE_REVOKED'), String(reason));
      await live.closed;
      await expectCode((await dial(daemon, transport, enrollment)).call(kind), 'DEVICE_REVOKED');
    });

    test(`over ${transport}, ${kind} for operators is refused to a device, and ends when the role is taken`, async (t) => {
      const handler = endless();
      let handled = 0;
      const handle: Behaviour['handle'] = (context) => {
        handled += 1;
        return handler.handle(context);
      };
      const { daemon, device, enrollment } = await enroll(t, { caller: 'operator', handle });
      const { call } = await dial(daemon, transport, enrollment);
      await expectCode(call(kind), 'CALLER_NOT_ALLOWED');
      assert.equal(handled, 0);
      const role = (to: 'operator' | 'device') =>
        daemon.admin.setDeviceRole({ id: device.identity.id, role: deviceRoles.toWire(to) });
      await role('operator');
      const outcome = expectCode(call(kind), 'CALLER_NOT_ALLOWED');
      await handler.running;
      await role('device');
      await outcome;
      assert.ok(hasCode(await handler.ended, 'CALLER_NOT_ALLOWED'));
    });

    test(`over ${transport}, interceptors of a service run behind the check, whose limits hold for ${kind}`, async (t) => {
      const seen: string[] = [];
      const interceptors: Interceptor[] = [
        (next) => (request) => {
          seen.push(request.method.name);
          return next(request);
        },
      ];
      const { daemon, device, enrollment } = await enroll(t, { handle: (_, text) => text, interceptors });
      const { call, closed } = await dial(daemon, transport, enrollment);
      assert.equal(await call(kind, 'heard'), 'heard');
      assert.equal(seen.length, 1);
      await expectCode(call(kind, 'x'.repeat(1024 * 1024 + 1)), 'MESSAGE_TOO_LARGE');
      await daemon.admin.revokeDevice({ id: device.identity.id, reason: 'lost' });
      await closed;
      seen.splice(0);
      await expectCode((await dial(daemon, transport, enrollment)).call(kind), 'DEVICE_REVOKED');
      assert.deepEqual(seen, []);
    });

    test(`over ${transport}, the caller of ${kind} learns only the part of an error that is meant for it`, async (t) => {
      const told: unknown[] = [];
      const broken = new Error('the table "secrets" is broken');
      const thrown: Record<string, Error> = {
        bug: broken,
        ours: new IdentityError('RATE_LIMITED', 'Later.', { retryAfterMs: 5 }),
        connect: new ConnectError('not here', Code.NotFound),
      };
      const handle: Behaviour['handle'] = (_, text) => {
        throw thrown[text];
      };
      const options = { onError: (error: unknown) => told.push(error) };
      const { daemon, enrollment } = await enroll(t, { handle }, options);
      const { call } = await dial(daemon, transport, enrollment);
      const bug = await expectCode(call(kind, 'bug'), 'INTERNAL');
      assert.doesNotMatch(bug.message, /secrets/);
      assert.deepEqual(told, [broken]);
      assert.equal((await expectCode(call(kind, 'ours'), 'RATE_LIMITED')).retryAfterMs, 5);
      await assert.rejects(call(kind, 'connect'), { code: Code.NotFound, rawMessage: 'not here' });
      assert.deepEqual(told, [broken]);
    });
  }

  test(`over ${transport}, texts of an own service arrive as they were sent`, async (t) => {
    const { daemon, enrollment } = await enroll(t, { handle: (_, text) => text });
    const { call } = await dial(daemon, transport, enrollment);
    const text = 'two\nlines\tand \u001b[31m\u202ea colour';
    for (const kind of kinds) assert.equal(await call(kind, text), text);
  });

  test(`over ${transport}, an own service keeps working after the daemon's certificate was replaced`, async (t) => {
    const clock = new HeldClock(Date.now() - 5 * day);
    const limits = { deviceCertificateLifeMs: 30 * day };
    const { daemon, enrollment } = await enroll(t, { handle: (_, text) => text }, { clock, limits });
    const before = await dial(daemon, transport, enrollment);
    assert.equal(await before.call('unary', 'before'), 'before');
    clock.advance(5 * day);
    await daemon.running.tick();
    if (transport === 'quic') await before.closed;
    const { call } = await dial(daemon, transport, enrollment);
    for (const kind of kinds) assert.equal(await call(kind, 'after'), 'after');
  });

  test(`over ${transport}, a daemon that stops lets a unary call end and does not wait for a stream without an end`, async (t) => {
    const stream = endless();
    const unary = Promise.withResolvers<string>();
    const begun = Promise.withResolvers<void>();
    const handle: Behaviour['handle'] = (context, text) => {
      if (text === 'stream') return stream.handle(context);
      begun.resolve();
      return unary.promise;
    };
    const { daemon, enrollment } = await enroll(t, { handle }, { limits: { stopGraceMs: 50_000 } });
    const { call } = await dial(daemon, transport, enrollment);
    const cut = expectCode(call('serverStream', 'stream'), 'UNREACHABLE');
    const whole = call('unary');
    await Promise.all([stream.running, begun.promise]);
    const stopped = daemon.running.close();
    assert.ok(hasCode(await stream.ended, 'UNREACHABLE'));
    await cut;
    unary.resolve('done');
    assert.equal(await within('the answer', whole), 'done');
    await within('the end', stopped);
  });

  for (const kind of kindsOver(transport)) {
    test(`over ${transport}, a ${kind} that fails after its caller was shut out ends nothing else`, async (t) => {
      const [running, released] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
      // It ignores its signal.
      const handle = async () => {
        running.resolve();
        await released.promise;
        throw new Error('too late');
      };
      const { daemon, device, enrollment } = await enroll(t, { handle }, { onError: () => {} });
      const { call, closed } = await dial(daemon, transport, enrollment);
      const outcome = expectCode(call(kind), 'DEVICE_REVOKED');
      await within('the handler', running.promise);
      await daemon.admin.revokeDevice({ id: device.identity.id, reason: 'lost' });
      await outcome;
      await closed;
      released.resolve();
      // An unhandled rejection would have failed this test by now.
      await new Promise((resolve) => setImmediate(resolve));
      assert.equal((await daemon.admin.getStatus({})).problems.length, 0);
    });

    test(`over ${transport}, a caller that leaves a ${kind} is not reported as a bug`, async (t) => {
      const handler = endless();
      const { daemon, enrollment } = await enroll(t, handler);
      const leave = new AbortController();
      const { call } = await dial(daemon, transport, enrollment, leave.signal);
      const left = assert.rejects(call(kind), { code: Code.Canceled });
      await handler.running;
      leave.abort();
      await left;
      await handler.ended;
    });
  }
}

for (const transport of transports) {
  test(`over ${transport}, the health check and server reflection know an own service`, async (t) => {
    const { daemon, enrollment } = await enroll(t, { handle: () => '' }, {}, true);
    const connection = await dialBy(transport, enrollment);
    daemon.closeAtEnd(connection);
    const health = createClient(Health, connection.transport);
    const { status } = await health.check({ service: Mine.typeName });
    assert.equal(status, HealthCheckResponse_ServingStatus.SERVING);
    const reflection = createClient(ServerReflection, connection.transport);
    async function* questions() {
      yield { messageRequest: { case: 'listServices', value: '' } } as const;
      yield { messageRequest: { case: 'fileContainingSymbol', value: `${Mine.typeName}.Unary` } } as const;
    }
    const answers = [];
    for await (const { messageResponse } of reflection.serverReflectionInfo(questions()))
      answers.push(messageResponse);
    const [list, file] = answers;
    assert.ok(list?.case === 'listServicesResponse');
    assert.ok(list.value.service.some(({ name }) => name === Mine.typeName));
    assert.equal(file?.case, 'fileDescriptorResponse');
  });
}

test('an own service is on the node listener and QUIC alone', async (t) => {
  const { daemon } = await enroll(t, { handle: () => '' });
  const pairing = await dialPairing(daemon.pairingAddress);
  const admin = await dialAdmin(join(daemon.home, 'daemon', 'admin.sock'));
  for (const connection of [pairing, admin]) {
    daemon.closeAtEnd(connection);
    const call = createClient(Mine, connection.transport).unary({});
    await assert.rejects(call, { code: Code.Unimplemented });
  }
});

test('a service that cannot be served stops the start of the daemon, before it writes anything', async () => {
  const home = join(temporaryFolder(), 'home');
  const { routes } = mine({ handle: () => '' });
  const start = startDaemon({ home, services: [{ routes, access: {} }] });
  const error = await start.then(() => assert.fail('it started'), fromConnectError);
  assert.equal(error.code, 'SERVICE_INVALID');
  assert.equal(error.message.split('\n').length, Mine.methods.length);
  assert.equal(existsSync(home), false);
});
