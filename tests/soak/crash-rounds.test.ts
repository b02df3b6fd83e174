// Kills processes at random moments of renewal, root rotation, rekey and backup. In every case, nothing that was
// acknowledged is lost, no device is locked out, and incomplete work is repeated or removed.

import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { backupHome, restoreHome } from '@palyra/daemon/home';
import { FilesystemSecretStore, masterKeyFromFile } from '@palyra/identity';
import {
  awaitPairing,
  DeviceIdentity,
  loadEnrollments,
  type PairedEnrollment,
  renewCertificate,
  requestPairing,
} from '@palyra/identity/device';
import { parsePairingCode } from '@palyra/identity/pairing';
import { nodeCrypto, systemClock } from '@palyra/identity/values';
import { fromConnectError } from '@palyra/rpc';
import { CertificateState, rotationPhases, rotationSteps } from '@palyra/rpc/admin';
import { builtProgram } from '../testing/built-program.ts';
import { DaemonProcess } from '../testing/daemon-process.ts';
import { openSecrets } from '../testing/device-home.ts';
import { expectCode } from '../testing/expect-code.ts';
import { makeHome } from '../testing/palyra-process.ts';
import { TestDaemon } from '../testing/running-daemon.ts';
import { makeDevice, pair, type SampleDevice } from '../testing/sample-device.ts';
import { soakTest } from '../testing/soak.ts';
import { longestWaitMs, until } from '../testing/until.ts';

const passphrase = 'correct horse battery';

soakTest(
  'after a killed rekey every secret is there, under one key',
  { rounds: 25 },
  async (t, { count, random }) => {
    const home = await makeHome(t);
    await (await DaemonProcess.start(t, { home })).stop();
    const before = await secretsOf(home);
    assert.ok(before.size > 3);
    for (let round = 0; round < count; round += 1) {
      await killAtWork(t, ['rekey', home], random.between(0, 40));
      assert.deepEqual(await secretsOf(home), before);
    }
    const daemon = await DaemonProcess.start(t, { home });
    assert.ok((await (await daemon.admin()).verifyAudit({})).ok);
    await daemon.stop();
  },
);

soakTest(
  'after a killed backup the file is complete or absent, and the daemon is unaffected',
  { rounds: 25 },
  async (t, { count, random }) => {
    const home = await makeHome(t);
    const daemon = await DaemonProcess.start(t, { home });
    const admin = await daemon.admin();
    const file = join(home, 'backup.age');
    let whole = 0;
    for (let round = 0; round < count; round += 1) {
      // The last round comes when a first backup is complete.
      const moment = round === count - 1 ? () => existsSync(file) : random.between(0, 200);
      await killAtWork(t, ['backup', home], moment);
      if (!(await readdir(home)).includes('backup.age')) continue;
      whole += 1;
      const restored = await restoreHome(await makeHome(t), { file, passphrase, revokedSince: 'none' });
      assert.equal(restored.daemonId, daemon.daemonId);
      await admin.mintCode({}).then(({ pairingId }) => admin.rejectPairing({ id: pairingId }));
    }
    assert.ok(whole > 0, 'no backup was ever complete');
    await backupHome(home, file, passphrase, { scryptLogN: 1, replace: true });
    assert.deepEqual((await readdir(home)).sort(), ['backup.age', 'daemon'], 'nothing is left behind');
    assert.ok((await admin.verifyAudit({})).ok);
  },
);

soakTest(
  'a device that is killed during a renewal reconnects with a stored certificate',
  { rounds: 100 },
  async (t, { count, random }) => {
    const daemon = await TestDaemon.start(t, { limits: { strangersPerSource: 1_000 } });
    for (let round = 0; round < count; round += 1) {
      const home = await makeHome(t);
      const secrets = await openSecrets(home);
      const identity = await DeviceIdentity.open(secrets, nodeCrypto, systemClock);
      await pair(daemon, { ...(await makeDevice({ identity })), secrets });
      await secrets.close();
      await killAtWork(t, ['renew', home, daemon.nodeAddress], random.between(0, 80));

      const after = await openSecrets(home);
      const [enrollment] = (await loadEnrollments(after)) as PairedEnrollment[];
      const node = await daemon.node(enrollment!);
      assert.equal((await node.status({})).deviceId, identity.id);
      const device = { identity, secrets: after, clock: systemClock };
      const renewed = await renewCertificate(device, enrollment!, (proof) => node.renew(proof));
      await (await daemon.node(renewed)).status({});
      await after.close();
    }
  },
);

soakTest(
  'after a daemon is killed during renewals and root rotations, its devices reconnect and revoked ones do not',
  { rounds: 50 },
  async (t, { count, random }) => {
    const home = await makeHome(t);
    let daemon = await DaemonProcess.start(t, { home });
    const { daemonId } = daemon;
    const roots = new Set<string>();
    let hasRotated = false;
    for (let round = 0; round < count; round += 1) {
      const device = await makeDevice();
      await pairWith(daemon, device);
      const over = liveThrough(daemon, device, () => {
        hasRotated = true;
      }).catch((error) => fromConnectError(error));
      if (round < count - 1) await pause(random.between(0, 150));
      else await until('a root that was rotated', () => hasRotated);
      await daemon.kill();
      const problem = await over;
      assert.equal(problem.code, 'UNREACHABLE', problem.message);

      daemon = await DaemonProcess.start(t, { home });
      assert.equal(daemon.daemonId, daemonId);
      roots.add(daemon.rootFingerprint);
      const admin = await daemon.admin();
      const verdict = await admin.verifyAudit({});
      assert.ok(verdict.ok, verdict.problem);
      await (await daemon.node(await enrollmentOf(device))).status({});
      const { certificates } = await admin.getDevice({ id: device.identity.id });
      assert.equal(certificates.filter(({ state }) => state === CertificateState.ACTIVE).length, 1);
      await admin.revokeDevice({ id: device.identity.id, reason: 'its round is over' });
      await expectCode((await daemon.node(await enrollmentOf(device))).status({}), 'DEVICE_REVOKED');
    }
    assert.ok(roots.size > 1, 'the root was never rotated');
    await daemon.stop();
  },
);

/** Starts a worker, and kills it this many milliseconds after its work began, or when a condition is met. */
async function killAtWork(
  t: TestContext,
  args: readonly string[],
  moment: number | (() => boolean),
): Promise<void> {
  const worker = spawn(
    process.execPath,
    [
      '--disable-warning=ExperimentalWarning',
      builtProgram(join(import.meta.dirname, '../testing/worker.ts')),
      ...args,
    ],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  );
  t.after(() => worker.kill('SIGKILL'));
  let problems = '';
  worker.stderr.setEncoding('utf8').on('data', (text: string) => {
    problems += text;
  });
  const ended = once(worker, 'close');
  await Promise.race([once(worker.stdout, 'data'), ended]);
  if (typeof moment === 'number') await pause(moment);
  else await Promise.race([until('the moment to kill it', moment), ended]);
  worker.kill('SIGKILL');
  await ended;
  assert.equal((worker as ChildProcess).signalCode, 'SIGKILL', problems);
}

async function secretsOf(home: string): Promise<Map<string, string>> {
  const store = await FilesystemSecretStore.open({
    path: join(home, 'daemon', 'secrets'),
    masterKey: await masterKeyFromFile({ path: join(home, 'daemon', 'master.key') }),
  });
  const secrets = new Map<string, string>();
  for (const name of (await store.list()).sort()) {
    secrets.set(name, Buffer.from(await store.read(name)).toString('base64'));
  }
  await store.close();
  return secrets;
}

async function enrollmentOf(device: SampleDevice): Promise<PairedEnrollment> {
  const [enrollment] = await loadEnrollments(device.secrets);
  assert.equal(enrollment?.state, 'paired');
  return enrollment;
}

async function pairWith(daemon: DaemonProcess, device: SampleDevice): Promise<void> {
  const admin = await daemon.admin();
  const code = parsePairingCode((await admin.mintCode({})).code);
  const pending = await requestPairing(device, await daemon.peer(), code, daemon.pairingAddress);
  await admin.approvePairing({ id: pending.requestId });
  await awaitPairing(device, await daemon.peer(pending), pending, {
    signal: AbortSignal.timeout(longestWaitMs),
  });
}

/** Renews again and again, and moves the rotation of the root one step after each renewal. */
async function liveThrough(daemon: DaemonProcess, device: SampleDevice, rotated: () => void): Promise<never> {
  const admin = await daemon.admin();
  for (;;) {
    const enrollment = await enrollmentOf(device);
    const node = await daemon.node(enrollment);
    await node.status({});
    const renewed = await renewCertificate(device, enrollment, (proof) => node.renew(proof));
    await (await daemon.node(renewed)).status({});
    const { phase } = await admin.getRootRotation({});
    const known = rotationPhases.fromWire(phase);
    assert.ok(known);
    const next = ({ none: 'prepare', prepared: 'activate', activated: 'finish' } as const)[known];
    await admin.rotateRoot({ step: rotationSteps.toWire(next) });
    if (next === 'activate') rotated();
  }
}
