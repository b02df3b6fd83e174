// Daemons that share a PostgreSQL database and one PKCS #11 token for the keys of their authority.

import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { RotateRootRequest_Step } from '@palyra/rpc/admin';
import { missingForTokens, SoftToken } from '../../packages/signer-pkcs11/src/testing/soft-token.ts';
import type { DaemonProcess } from '../testing/daemon-process.ts';
import { FleetForTests, missingPostgres } from '../testing/fleet.ts';
import { configure, failure, palyra } from '../testing/palyra-process.ts';
import { makeDevice, pair } from '../testing/sample-device.ts';
import { temporaryFolder } from '../testing/temporary-folder.ts';

describe('a fleet with a token', { skip: missingPostgres || missingForTokens() }, () => {
  const fleet = new FleetForTests();

  async function paired(daemon: DaemonProcess) {
    const { pairingAddress } = daemon;
    const admin = await daemon.admin();
    const device = await makeDevice();
    const peer = (known?: never) => daemon.peer(known);
    return pair({ admin, pairingAddress, peer } as never, device);
  }

  test('three daemons that start at the same time make each key once, and every one signs with it', async (t) => {
    const token = await SoftToken.make(t);
    const settings = await fleet.settings();
    const daemons = await fleet.startProcesses(t, 3, settings, { caKey: token.caKey }, { env: token.env });
    const [first] = daemons;
    for (const { rootFingerprint } of daemons) assert.equal(rootFingerprint, first!.rootFingerprint);
    const keys = await token.keys();
    assert.deepEqual([keys.length, new Set(keys).size], [2, 2], keys.join(' '));
    for (const daemon of daemons) {
      const enrollment = await paired(daemon);
      for (const each of daemons)
        await (await each.node({ ...enrollment, nodeAddress: each.nodeAddress })).status({});
    }
    const admin = await daemons[1]!.admin();
    await admin.rotateRoot({ step: RotateRootRequest_Step.PREPARE });
    assert.equal((await token.keys()).length, 3);
    await paired(daemons[2]!);
  });

  test('a daemon without the token of the others is refused, and so is one with a token of its own', async (t) => {
    const token = await SoftToken.make(t);
    const settings = await fleet.settings();
    await fleet.startProcesses(t, 1, settings, { caKey: token.caKey }, { env: token.env });
    const other = await SoftToken.make(t, 'another', token);
    const { registry, masterKey } = settings;
    for (const [caKey, code] of [
      [undefined, 'SIGNER_MISMATCH'],
      [other.caKey, 'SIGNER_MISMATCH'],
    ] as const) {
      const home = temporaryFolder();
      mkdirSync(join(home, 'daemon'), { mode: 0o700 });
      await configure(home, { registry, masterKey, ...(caKey && { caKey }) });
      await failure(palyra(['daemon'], { home, env: token.env }), { code, exitCode: 6 });
    }
    assert.deepEqual(await other.keys(), []);
  });
});
