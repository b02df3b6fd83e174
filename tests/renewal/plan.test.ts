// The daemon asks devices to renew at times with few other renewals, even after a restart.

import assert from 'node:assert/strict';
import test, { type TestContext } from 'node:test';
import { IdentityManager, MemorySecretStore } from '@palyra/identity';
import { readPeerCertificate } from '@palyra/identity/certificate';
import {
  awaitPairing,
  type PairedEnrollment,
  renewCertificate,
  requestPairing,
} from '@palyra/identity/device';
import { parsePairingCode } from '@palyra/identity/pairing';
import { openSqliteRegistry } from '@palyra/registry-sql';
import { HeldClock, hour, second } from '../testing/held-clock.ts';
import { peerOf } from '../testing/in-process.ts';
import { makeDevice, type SampleDevice } from '../testing/sample-device.ts';
import { longestWaitMs } from '../testing/until.ts';

/** A life of a day has 360 spans. The daemon can choose a third of them, less one at either end. */
const spanMs = (24 * hour) / 360;
const spans = 118;

interface Member {
  readonly device: SampleDevice;
  readonly enrollment: PairedEnrollment;
}

async function open(t: TestContext) {
  // In the middle of a span, so that rounding to a second does not move it into another span.
  const clock = new HeldClock(Math.floor(Date.now() / spanMs) * spanMs + spanMs / 2);
  const secrets = new MemorySecretStore();
  const registry = await openSqliteRegistry({ path: ':memory:' });
  t.after(() => registry.close());
  const start = () => IdentityManager.open({ secrets, registry, clock, limits: { liveCodes: 500 } });
  return { clock, registry, start };
}

async function pair(identity: IdentityManager, clock: HeldClock): Promise<Member> {
  const device = await makeDevice({ clock });
  const { code } = await identity.desk.mint({ kind: 'typed', address: 'localhost:1' });
  const pending = await requestPairing(device, peerOf(identity), parsePairingCode(code), 'localhost:1');
  await identity.desk.approve(pending.requestId);
  const signal = AbortSignal.timeout(longestWaitMs);
  return { device, enrollment: await awaitPairing(device, peerOf(identity), pending, { signal }) };
}

async function pairMany(identity: IdentityManager, clock: HeldClock, count: number): Promise<Member[]> {
  const members: Member[] = [];
  while (members.length < count) members.push(await pair(identity, clock));
  return members;
}

/** The number of planned renewals for each span. */
function load(enrollments: readonly PairedEnrollment[]): number[] {
  const counts = new Map<number, number>();
  for (const { receivedAt, renewAfterMs = 0 } of enrollments) {
    const span = Math.floor((receivedAt + renewAfterMs) / spanMs);
    counts.set(span, (counts.get(span) ?? 0) + 1);
  }
  return [...counts.values()];
}

async function renew(identity: IdentityManager, { device, enrollment }: Member): Promise<PairedEnrollment> {
  const caller = await identity.admit(readPeerCertificate(enrollment.certificateChain[0]!).fingerprint);
  return renewCertificate(device, enrollment, (proof) => identity.renewals.renew(caller, proof));
}

test('devices that connect at the same time are asked to renew at different times', async (t) => {
  const { clock, start } = await open(t);
  const members = await pairMany(await start(), clock, spans);
  assert.deepEqual(load(members.map((each) => each.enrollment)), Array(spans).fill(1));
});

test('a device that renews again frees its previous time slot', async (t) => {
  const { clock, start } = await open(t);
  const identity = await start();
  const [member] = await pairMany(identity, clock, 1);
  let newest = member!.enrollment;
  for (let time = 0; time < 7; time += 1) {
    clock.advance(second);
    newest = await renew(identity, member!);
  }
  const others = await pairMany(identity, clock, spans - 1);
  assert.deepEqual(load([newest, ...others.map((each) => each.enrollment)]), Array(spans).fill(1));
});

test('the plan from before a restart still counts after it', async (t) => {
  const { clock, start } = await open(t);
  const before = await pairMany(await start(), clock, spans / 2);
  const after = await pairMany(await start(), clock, spans / 2);
  const all = [...before, ...after].map((each) => each.enrollment);
  assert.deepEqual(load(all), Array(spans).fill(1));
});

test('a failed renewal frees its time slot', async (t) => {
  const { clock, start, registry } = await open(t);
  const identity = await start();
  const [member] = await pairMany(identity, clock, 1);
  const newest = await renew(identity, member!);
  t.mock.method(registry, 'transact', () => Promise.reject(new Error('no disk')));
  for (let time = 0; time < 10 * spans; time += 1) await assert.rejects(renew(identity, member!), /no disk/);
  t.mock.restoreAll();
  const others = await pairMany(identity, clock, spans - 1);
  assert.deepEqual(load([newest, ...others.map((each) => each.enrollment)]), Array(spans).fill(1));
});
