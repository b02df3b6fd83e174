// Whatever happens to a device and its certificates, the audit yields the same rows as the tables. So no change can be
// made without its audit row, and every outside change is visible.

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
import { isShutOut } from '../../packages/identity/src/fleet/device.ts';
import { type DeviceEvent, stepDevice } from '../../packages/identity/src/fleet/device-state.ts';
import {
  anyEvent,
  anyWalk,
  approval,
  deviceId,
  startMs,
  walk,
} from '../../packages/identity/src/fleet/testing/device-walk.ts';
import { sampleAuthority, sampleCertificate } from '../../packages/registry-sql/src/testing/samples.ts';

const minute = 60_000;
const hour = 60 * minute;

/** Events as data, so that a failure shows them. */
type Step =
  | { readonly do: 'happen'; readonly event: DeviceEvent }
  | { readonly do: 'issue'; readonly origin: CertificateOrigin }
  | { readonly do: 'use' }
  | { readonly do: 'revoke certificate' };

const authority = sampleAuthority();

async function newest(tx: RegistryTransaction, state: CertificateRecord['state']) {
  return (await tx.certificatesOf(deviceId, 100)).find((each) => each.state === state);
}

async function take(tx: RegistryTransaction, step: Step, at: Date): Promise<void> {
  const device = await tx.device(deviceId);
  switch (step.do) {
    case 'happen':
      await changeDevice(tx, device, step.event, { at });
      return;
    case 'issue': {
      if (!device || isShutOut(device)) return;
      const recovered = step.origin.type === 'recovery';
      const life = { notBefore: at, notAfter: new Date(at.getTime() + hour), createdAt: at };
      const { state, ...made } = sampleCertificate(
        { device: deviceId, issuer: authority.id },
        { ...life, der: new Uint8Array(), recovered },
      );
      await addCertificate(tx, made, step.origin, at);
      if (recovered) await changeDevice(tx, device, { type: 'recover' }, { at });
      return;
    }
    case 'use': {
      const certificate = await newest(tx, 'issued');
      if (!certificate || !device || isShutOut(device)) return;
      if (!(await changeCertificate(tx, certificate, { type: 'use' }, { at }))) return;
      await changeDevice(tx, device, { type: 'use' }, { at });
      for (const other of await tx.livingCertificates(deviceId))
        if (other.serial !== certificate.serial)
          await changeCertificate(tx, other, { type: 'supersede', by: certificate.serial }, { at });
      return;
    }
    case 'revoke certificate': {
      const certificate = (await newest(tx, 'active')) ?? (await newest(tx, 'superseded'));
      const event = { type: 'revoke', reason: 'leaked' } as const;
      if (!certificate || !(await changeCertificate(tx, certificate, event, { at }))) return;
      await changeDevice(tx, device, { type: 'lose_certificate' }, { at });
    }
  }
}

/** Events in the row of a certificate are made with a certificate. */
const withCertificate: readonly DeviceEvent['type'][] = ['use', 'recover', 'lose_certificate'];

const anyStep: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: anyEvent
      .filter(({ type }) => !withCertificate.includes(type))
      .map((event): Step => ({ do: 'happen', event })),
  },
  { weight: 3, arbitrary: fc.constant<Step>({ do: 'use' }) },
  {
    weight: 3,
    arbitrary: fc
      .constantFrom<CertificateOrigin>(
        { type: 'renewal', previous: '00' },
        { type: 'recovery', source: '192.0.2.1' },
      )
      .map((origin): Step => ({ do: 'issue', origin })),
  },
  { weight: 1, arbitrary: fc.constant<Step>({ do: 'revoke certificate' }) },
  {
    weight: 1,
    arbitrary: fc
      .tuple(anyWalk, fc.constantFrom('newer', 'another'))
      .map(([steps, history]): Step | undefined => {
        const before = [...walk(steps)].at(-1)?.after;
        return before && { do: 'happen', event: { type: 'restore', before, history } };
      })
      .filter((step) => step !== undefined),
  },
);

/** A device that was revoked in the backup and had another key at the restore is revoked only once. */
const revokedWithAnotherKey: Step[] = [
  { do: 'happen', event: { type: 'approve', approval: approval(1) } },
  { do: 'issue', origin: { type: 'renewal', previous: '00' } },
  { do: 'happen', event: { type: 'revoke', reason: 'lost' } },
  {
    do: 'happen',
    event: {
      type: 'restore',
      before: stepDevice(undefined, { type: 'approve', approval: approval(2) }, new Date(startMs)),
      history: 'newer',
    },
  },
];

async function live(registry: Registry, steps: readonly Step[]): Promise<void> {
  await registry.transact((tx) => insertAuthority(tx, authority, new Date(startMs)));
  let nowMs = startMs;
  for (const step of steps) {
    nowMs += minute;
    try {
      await registry.transact((tx) => take(tx, step, new Date(nowMs)));
    } catch (error) {
      if (!(error instanceof IdentityError)) throw error;
    }
  }
}

test('the audit yields the rows of the tables, whatever happened to a device', async () => {
  const actions = new Set<string>();
  await fc.assert(
    fc.asyncProperty(fc.array(anyStep, { minLength: 5, maxLength: 40 }), async (steps) => {
      const registry = await openSqliteRegistry({ path: ':memory:' });
      try {
        await live(registry, steps);
        const verdict = await verifyAudit(registry);
        const differences = verdict.ok ? [] : verdict.differences;
        assert.ok(verdict.ok || verdict.brokenAt === 0, 'the chain is intact');
        // The sample authority and the sample certificates are not real.
        assert.deepEqual(
          differences.filter(({ fact }) => fact !== 'der'),
          [],
        );
        for (const { action } of await registry.audit({ limit: 1000 })) actions.add(action);
      } finally {
        await registry.close();
      }
    }),
    { numRuns: 60, examples: [[revokedWithAnotherKey]] },
  );
  assert.ok(actions.size > 12, `everything happened: ${[...actions]}`);
});
