// Health and server reflection, as foreign tools use them: grpc-go acts like grpc_health_probe, a client that
// balances by health, and grpcurl.

import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { createClient } from '@connectrpc/connect';
import { certificatesToPem } from '@palyra/identity/certificate';
import type { PairedEnrollment } from '@palyra/identity/device';
import { AdminService, NodeService } from '@palyra/rpc';
import { createQuic, dialNodeQuic } from '@palyra/transport-quic';
import {
  Health,
  HealthCheckResponse_ServingStatus,
} from '../../packages/rpc/src/gen/grpc/health/v1/health_pb.js';
import { credentialOf } from '../testing/bare-tls.ts';
import { buildGo, runGo, skipGo } from '../testing/go-program.ts';
import { TestDaemon } from '../testing/running-daemon.ts';
import { makeDevice, pair } from '../testing/sample-device.ts';

interface Line {
  readonly status?: string;
  readonly state?: string;
  readonly services?: readonly string[];
  readonly answer?: Readonly<Record<string, string>>;
  readonly end?: string;
  readonly message?: string;
}

const skip = skipGo;
const program = skip ? '' : buildGo('standard_services.go');

function run(t: TestContext, daemon: TestDaemon, paired: PairedEnrollment, what: object) {
  const { cert, key } = credentialOf(paired);
  return runGo<Line>(t, program, {
    address: daemon.nodeAddress,
    name: paired.trustDomain,
    roots: certificatesToPem(paired.trustBundle),
    certificate: cert,
    key,
    ...what,
  });
}

test('any paired device can ask for the health of the daemon and of each service', { skip }, async (t) => {
  const daemon = await TestDaemon.start(t);
  const paired = await pair(daemon, await makeDevice());
  for (const service of ['', NodeService.typeName, AdminService.typeName]) {
    const next = run(t, daemon, paired, { do: 'check', service });
    assert.deepEqual(await next(), { status: 'SERVING' }, service);
  }
  const unknown = await run(t, daemon, paired, { do: 'check', service: 'no.such.Service' })();
  assert.equal(unknown?.end, 'NotFound');
});

test('a watched service is unknown, or serving until the daemon stops', { skip }, async (t) => {
  const daemon = await TestDaemon.start(t);
  const paired = await pair(daemon, await makeDevice());
  const known = run(t, daemon, paired, { do: 'watch', service: NodeService.typeName });
  const unknown = run(t, daemon, paired, { do: 'watch', service: 'no.such.Service' });
  assert.deepEqual(await known(), { status: 'SERVING' });
  assert.deepEqual(await unknown(), { status: 'SERVICE_UNKNOWN' });
  const stopped = daemon.stop();
  assert.deepEqual(await known(), { status: 'NOT_SERVING' });
  for (const next of [known, unknown]) assert.equal((await next())?.end, 'Unavailable');
  await stopped;
});

test('a client that balances by health uses the daemon until it stops', { skip }, async (t) => {
  const daemon = await TestDaemon.start(t);
  const paired = await pair(daemon, await makeDevice());
  const next = run(t, daemon, paired, { do: 'balance', service: NodeService.typeName });
  const becomes = async (wanted: (state: string) => boolean) => {
    for (let line = await next(); line; line = await next()) if (wanted(line.state!)) return;
    assert.fail('the client ended');
  };
  await becomes((state) => state === 'READY');
  await daemon.stop();
  await becomes((state) => state !== 'READY');
});

test('a revocation ends a watch with its reason', { skip }, async (t) => {
  const daemon = await TestDaemon.start(t);
  const device = await makeDevice();
  const next = run(t, daemon, await pair(daemon, device), { do: 'watch', service: '' });
  assert.deepEqual(await next(), { status: 'SERVING' });
  await daemon.admin.revokeDevice({ id: device.identity.id, reason: 'lost' });
  const { end, message = '' } = (await next()) ?? {};
  assert.equal(end, 'Unauthenticated');
  assert.match(message, /revoked by the operator/);
});

test('an operator reads every service by reflection, and calls one with that description', {
  skip,
}, async (t) => {
  const daemon = await TestDaemon.start(t);
  const paired = await pair(daemon, await makeDevice(), { operator: true });
  const next = run(t, daemon, paired, {
    do: 'describe',
    service: AdminService.typeName,
    symbol: AdminService.method.getStatus.name,
  });
  assert.deepEqual((await next())?.services, [
    'grpc.health.v1.Health',
    'grpc.reflection.v1.ServerReflection',
    'grpc.reflection.v1alpha.ServerReflection',
    AdminService.typeName,
    NodeService.typeName,
  ]);
  const { answer, ...failure } = (await next()) ?? {};
  assert.equal(answer?.daemonId, daemon.running.daemonId, JSON.stringify(failure));
});

test('a device without the role gets no reflection', { skip }, async (t) => {
  const daemon = await TestDaemon.start(t);
  const paired = await pair(daemon, await makeDevice());
  const answer = await run(t, daemon, paired, { do: 'describe' })();
  assert.equal(answer?.end, 'PermissionDenied');
});

test('health is served over QUIC too', async (t) => {
  const daemon = await TestDaemon.start(t);
  const connection = await dialNodeQuic(createQuic(), await pair(daemon, await makeDevice()));
  daemon.closeAtEnd(connection);
  const health = createClient(Health, connection.transport);
  const { status } = await health.check({ service: NodeService.typeName });
  assert.equal(status, HealthCheckResponse_ServingStatus.SERVING);
});
