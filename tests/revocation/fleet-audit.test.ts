// Whatever happens to a device and its certificates, the audit leads to the same rows as the tables have: so no change can be
// made without its row, and none can be told apart from one that was made from outside.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IdentityError, verifyAudit } from '@palyra/identity';
import type { CertificateRecord, Registry, RegistryTransaction } from '@palyra/identity/registry';
import { openSqliteRegistry } from '@palyra/registry-sql';
import fc from 'fast-check';
import { insertAuthority } from '../../packages/identity/src/authority/new-authority.ts';
import {
  addCertificate,
  type CertificateOrigin,
  changeCertificate,
  changeDevice,
} from '../../packages/identity/src/fleet/change.ts';
import type { DeviceEvent } from '../../packages/identity/src/fleet/device-state.ts';
import {
  anyEvent,
  anyWalk,
  deviceId,
  startMs,
  walk,
} from '../../packages/identity/src/fleet/testing/device-walk.ts';
import { sampleAuthority, sampleCertificate } from '../../packages/registry-sql/src/testing/samples.ts';

const hour = 3_600_000;

type Step = (tx: RegistryTransaction, at: Date) => Promise<unknown>;

const authority = sampleAuthority();

async function newest(tx: RegistryTransaction, state: CertificateRecord['state']) {
  return (await tx.certificatesOf(deviceId, 100)).find((each) => each.state === state);
}

function issue(origin: CertificateOrigin): Step {
  return async (tx, at) => {
    if (!(await tx.device(deviceId))) return;
    const life = { notBefore: at, notAfter: new Date(at.getTime() + hour), createdAt: at };
    const recovered = origin.type === 'recovery';
    const { state, ...made } = sampleCertificate(
      { device: deviceId, issuer: authority.id },
      { ...life, der: new Uint8Array(), recovered },
    );
    await addCertificate(tx, made, origin, at);
    if (recovered) await changeDevice(tx, await tx.device(deviceId), { type: 'recover' }, { at });
  };
}

const use: Step = async (tx, at) => {
  const [device, certificate] = [await tx.device(deviceId), await newest(tx, 'issued')];
  if (!certificate || !(await changeCertificate(tx, certificate, { type: 'use' }, { at }))) return;
  await changeDevice(tx, device, { type: 'use' }, { at });
  for (const other of await tx.livingCertificates(deviceId))
    if (other.serial !== certificate.serial)
      await changeCertificate(tx, other, { type: 'supersede', by: certificate.serial }, { at });
};

const revokeCertificate: Step = async (tx, at) => {
  const certificate = (await newest(tx, 'active')) ?? (await newest(tx, 'superseded'));
  const event = { type: 'revoke', reason: 'leaked' } as const;
  if (!certificate || !(await changeCertificate(tx, certificate, event, { at }))) return;
  await changeDevice(tx, await tx.device(deviceId), { type: 'lose_certificate' }, { at });
};

/** Those that are not written without a certificate are made with one, below. */
const withCertificate: readonly DeviceEvent['type'][] = ['use', 'recover', 'lose_certificate'];

const happen =
  (event: DeviceEvent): Step =>
  async (tx, at) =>
    withCertificate.includes(event.type) || changeDevice(tx, await tx.device(deviceId), event, { at });

const anyStep: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: anyEvent.map(happen) },
  { weight: 3, arbitrary: fc.constant(use) },
  {
    weight: 3,
    arbitrary: fc
      .constantFrom<CertificateOrigin>(
        { type: 'renewal', previous: '00' },
        { type: 'recovery', source: '192.0.2.1' },
      )
      .map(issue),
  },
  { weight: 1, arbitrary: fc.constant(revokeCertificate) },
  {
    weight: 1,
    arbitrary: fc.tuple(anyWalk, fc.constantFrom('newer', 'another')).map(
      ([steps, history]): Step =>
        async (tx, at) => {
          const before = [...walk(steps)].at(-1)?.after;
          if (before) await happen({ type: 'restore', before, history })(tx, at);
        },
    ),
  },
);

async function live(registry: Registry, steps: readonly Step[]): Promise<void> {
  await registry.transact((tx) => insertAuthority(tx, authority, new Date(startMs)));
  let nowMs = startMs;
  for (const step of steps) {
    nowMs += 60_000;
    try {
      await registry.transact(async (tx) => void (await step(tx, new Date(nowMs))));
    } catch (error) {
      if (!(error instanceof IdentityError)) throw error;
    }
  }
}

test('the audit leads to the rows that are there, whatever happened to a device', async () => {
  const actions = new Set<string>();
  await fc.assert(
    fc.asyncProperty(fc.array(anyStep, { minLength: 5, maxLength: 40 }), async (steps) => {
      const registry = await openSqliteRegistry({ path: ':memory:' });
      try {
        await live(registry, steps);
        const verdict = await verifyAudit(registry);
        const differences = verdict.ok ? [] : verdict.differences;
        assert.ok(verdict.ok || verdict.brokenAt === 0, 'the chain holds');
        // The sample authority and the samples of certificates are no real ones.
        assert.deepEqual(
          differences.filter(({ fact }) => fact !== 'der'),
          [],
        );
        for (const { action } of await registry.audit({ limit: 1000 })) actions.add(action);
      } finally {
        await registry.close();
      }
    }),
    { numRuns: 60 },
  );
  assert.ok(actions.size > 12, `everything happened: ${[...actions]}`);
});
