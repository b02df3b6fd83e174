// A change that was let in before its operator was shut out, and comes to the registry after it.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  awaitPairing,
  type IdentityErrorCode,
  type IdentityManager,
  parsePairingCode,
  requestPairing,
} from '@palyra/identity';
import { expectCode } from './testing/expect-code.ts';
import { openIdentity, peerOf } from './testing/in-process.ts';
import { makeDevice } from './testing/sample-device.ts';

const address = '127.0.0.1:1';

async function request(identity: IdentityManager) {
  const device = await makeDevice();
  const { code } = await identity.desk.mint({ kind: 'typed', address });
  const pending = await requestPairing(device, peerOf(identity), parsePairingCode(code), address);
  return { device, pending };
}

async function paired(identity: IdentityManager, operator: boolean) {
  const { device, pending } = await request(identity);
  await identity.desk.approve(pending.requestId, { operator });
  await awaitPairing(device, peerOf(identity), pending, {
    signal: AbortSignal.timeout(10_000),
  });
  return { id: device.identity.id };
}

/** What operators do, each on things of its own. */
const changes: Record<string, (identity: IdentityManager, by: string) => Promise<() => Promise<unknown>>> = {
  'mints a code':
    async ({ desk }, by) =>
    () =>
      desk.mint({ kind: 'typed', address, by }),
  'mints a code that approves by itself':
    async ({ desk }, by) =>
    () =>
      desk.mint({ kind: 'qr', address, autoApprove: true, by }),
  approves: async (identity, by) => {
    const { pending } = await request(identity);
    return () => identity.desk.approve(pending.requestId, { by });
  },
  rejects: async (identity, by) => {
    const { pending } = await request(identity);
    return () => identity.desk.reject(pending.requestId, 'no', by);
  },
  renames: async (identity, by) => {
    const { id } = await paired(identity, false);
    return () => identity.renameDevice(id, 'other', by);
  },
  'gives a role': async (identity, by) => {
    const { id } = await paired(identity, false);
    return () => identity.setDeviceRole(id, 'operator', by);
  },
  'revokes a device': async (identity, by) => {
    const { id } = await paired(identity, false);
    return () => identity.revokeDevice(id, 'lost', by);
  },
  'releases a device': async (identity, by) => {
    const { id } = await paired(identity, false);
    return () => identity.releaseDevice(id, by);
  },
  'prepares a root':
    async ({ rootRotation }, by) =>
    () =>
      rootRotation.prepare(by),
  'activates a root': async ({ rootRotation }, by) => {
    await rootRotation.prepare();
    return () => rootRotation.activate(true, by);
  },
  'rolls a root back': async ({ rootRotation }, by) => {
    await rootRotation.prepare();
    return () => rootRotation.rollback(by);
  },
};

const endings: [string, (identity: IdentityManager, id: string) => Promise<unknown>, IdentityErrorCode][] = [
  ['was revoked', (identity, id) => identity.revokeDevice(id, 'lost'), 'DEVICE_REVOKED'],
  ['lost its role', (identity, id) => identity.setDeviceRole(id, 'device'), 'CALLER_NOT_ALLOWED'],
];

for (const [what, prepare] of Object.entries(changes)) {
  for (const [how, end, code] of endings) {
    test(`a device that ${how} changes nothing when it ${what}`, async (t) => {
      const identity = await openIdentity(t);
      const { id } = await paired(identity, true);
      const change = await prepare(identity, id);
      await end(identity, id);
      const before = await identity.registry.audit({ limit: 1 });
      await expectCode(change(), code);
      assert.deepEqual(await identity.registry.audit({ limit: 1 }), before);
    });
  }
}

test('an operator does all of it, and last gives up its own role', async (t) => {
  for (const prepare of Object.values(changes)) {
    const identity = await openIdentity(t);
    const { id } = await paired(identity, true);
    await (await prepare(identity, id))();
    assert.equal((await identity.setDeviceRole(id, 'device', id)).role, 'device');
  }
});
