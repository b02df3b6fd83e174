// Operators, auto-approve codes, single certificates and the root in the console.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createClient } from '@connectrpc/connect';
import { recoverCertificate, requestPairing } from '@palyra/identity/device';
import { parsePairingCode } from '@palyra/identity/pairing';
import { AdminService, dialNode, dialPairing, recoveryPeer } from '@palyra/rpc';
import { DeviceRole } from '@palyra/rpc/admin';
import { go, shareBrowser, startConsole } from '../testing/console-browser.ts';
import { approve } from '../testing/console-presses.ts';
import { expectCode } from '../testing/expect-code.ts';
import { answer, makeHome, PalyraProcess } from '../testing/palyra-process.ts';
import { collect, makeDevice, pair, request, sameIdOtherKey } from '../testing/sample-device.ts';

shareBrowser();

test('a separate choice approves a device as operator, and the device’s page shows, removes and grants the role', async (t) => {
  const { daemon, page, enter } = await startConsole(t);
  const device = await makeDevice({ name: 'laptop' });
  const id = device.identity.id;
  const pending = await request(daemon, device);
  await enter();
  await page.getByRole('button', { name: 'Approve as operator' }).click();
  const confirm = page.getByRole('button', { name: 'Approve as OPERATOR', exact: true });
  assert.equal(await confirm.isDisabled(), true);
  await page.getByRole('checkbox').check();
  await approve(page, pending.words, 'Approve as OPERATOR');
  await page.getByText('Nobody is waiting').waitFor();
  const enrollment = await collect(daemon, device, pending);
  const connection = await dialNode(daemon.nodeAddress, enrollment);
  daemon.closeAtEnd(connection);
  const remote = createClient(AdminService, connection.transport);
  await remote.getStatus({});

  await go(page, 'Devices');
  await page.getByRole('listitem').getByText('OPERATOR', { exact: true }).waitFor();
  await page.getByRole('link', { name: 'laptop' }).click();
  await page.getByRole('button', { name: 'Remove operator role' }).click();
  await page.getByRole('button', { name: 'Remove the role', exact: true }).click();
  await page.getByRole('button', { name: 'Make operator' }).waitFor();
  await expectCode(remote.getStatus({}), 'CALLER_NOT_ALLOWED');
  await page.getByRole('button', { name: 'Make operator' }).click();
  await page.getByRole('checkbox').check();
  await page.getByRole('button', { name: 'Make it an OPERATOR', exact: true }).click();
  await page.getByRole('button', { name: 'Remove operator role' }).waitFor();
  await remote.getStatus({});
  await page.getByText('Operator role granted or removed').first().waitFor();
  await page.getByText('by: console').first().waitFor();

  const other = { ...device, identity: await sameIdOtherKey(device.identity) };
  await request(daemon, other);
  await go(page, 'Requests');
  await page.getByText('This id belongs to an').waitFor();
  assert.equal(await page.getByRole('button', { name: 'Approve as operator' }).count(), 0);
  assert.equal((await daemon.admin.getDevice({ id })).device?.role, DeviceRole.OPERATOR);
});

test('automatic approval is off by default, and the page warns when it is switched on', async (t) => {
  const { daemon, page, enter } = await startConsole(t);
  await enter();
  await go(page, 'Pair');
  const choice = page.getByRole('checkbox', { name: 'Approve the device without asking' });
  assert.equal(await choice.isChecked(), false);
  await choice.check();
  await page.getByText('you are not asked').waitFor();
  await page.getByRole('button', { name: 'Make a code' }).click();
  await page.getByText('AUTO-APPROVED').waitFor();
  const code = (await page.getByLabel('Pairing code').textContent()) ?? '';
  const device = await makeDevice({ name: 'sensor' });
  await requestPairing(device, await daemon.peer(), parsePairingCode(code), daemon.pairingAddress);
  await page.getByText('sensor was approved by the code').waitFor();
});

test('one certificate is revoked, after the page has said what that closes', async (t) => {
  const { daemon, page, enter } = await startConsole(t);
  const home = await makeHome(t);
  const { code } = await daemon.admin.mintCode({ autoApprove: true });
  await answer(['pair', daemon.pairingAddress, '--code-stdin', '--name', 'sensor'], {
    home,
    stdin: `${code}\n`,
  });
  const agent = PalyraProcess.start(['node', 'run', '--transport', 'http2'], { home });
  t.after(() => agent.end('SIGKILL'));
  await enter();
  await go(page, 'Devices');
  await page.getByText('Connected · HTTP/2').waitFor();
  await page.getByRole('link', { name: 'sensor' }).click();
  await page.getByRole('button', { name: 'Revoke certificate' }).click();
  await page.getByText('it is closed at once, and the calls on it fail').waitFor();
  await page.getByLabel('Reason').fill('leaked');
  await page.getByRole('dialog').getByRole('button', { name: 'Revoke certificate' }).click();
  await page.getByText('Certificate revoked', { exact: true }).first().waitFor();
  await page.getByText('Connected · HTTP/2').waitFor({ state: 'detached' });
  assert.equal(await page.getByRole('button', { name: 'Revoke certificate' }).count(), 0);
  await page.getByRole('button', { name: 'Revoke…', exact: true }).waitFor();
});

test('the root is rotated step by step, and losing a device needs a confirmation that names it', async (t) => {
  const { daemon, page, enter } = await startConsole(t);
  await pair(daemon, await makeDevice({ name: 'sleeper' }));
  await enter();
  await go(page, 'Authority');
  const step = async (name: string) => {
    await page.getByRole('button', { name: `${name}…` }).click();
    return page.getByRole('dialog').getByRole('button', { name, exact: true });
  };
  await (await step('Prepare a new root')).click();
  await page.getByText('The next step would lose 1 device').waitFor();
  await page.getByRole('link', { name: 'sleeper' }).waitFor();
  const activate = await step('Sign with the new root');
  assert.equal(await activate.isDisabled(), true);
  await page.getByRole('checkbox').check();
  await activate.click();
  await page.getByText('A new root is in use').waitFor();
  await (await step('Go back to the old root')).click();
  await page.getByRole('dialog').waitFor({ state: 'detached' });
  const { entries } = await daemon.admin.listAudit({});
  const steps = entries.filter(({ action }) => action.startsWith('root.'));
  assert.deepEqual(
    steps.map(({ action, detailJson }) => [action, JSON.parse(detailJson).by]),
    ['root.rolled_back', 'root.activated', 'root.prepared'].map((action) => [action, 'console']),
  );
});

test('a device that asks to recover shows up while the page is open, and is released there', async (t) => {
  const { daemon, page, enter } = await startConsole(t);
  const device = await makeDevice({ name: 'sensor' });
  const paired = await pair(daemon, device);
  const { serial } = await (await daemon.node(paired)).status({});
  await enter();
  await go(page, 'Devices');
  await page.getByRole('link', { name: 'sensor' }).click();
  await page.getByText('Certificate first used').first().waitFor();
  assert.equal(await page.getByRole('button', { name: 'Release…' }).count(), 0);
  await daemon.admin.revokeCertificate({ serial, reason: 'leaked' });
  const recover = async () => {
    const connection = await dialPairing(paired.address, paired);
    daemon.closeAtEnd(connection);
    return recoverCertificate(device, paired, recoveryPeer(connection));
  };
  await expectCode(recover(), 'RECOVERY_NEEDS_APPROVAL');
  await page.getByText('Asks to recover').first().waitFor();
  await page.getByRole('button', { name: 'Release…' }).click();
  await page.getByText('once, within a day').waitFor();
  await page.getByRole('dialog').getByRole('button', { name: 'Release', exact: true }).click();
  await page.getByRole('button', { name: 'Release…' }).waitFor({ state: 'detached' });
  await (await daemon.node(await recover())).status({});
});
