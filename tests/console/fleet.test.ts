// The console for an operator's day: filters and order of the fleet, labels, a possible copy, capabilities, history.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { describe, test } from 'node:test';
import { recoverCertificate, requestPairing } from '@palyra/identity/device';
import { parsePairingCode } from '@palyra/identity/pairing';
import { dialPairing, recoveryPeer } from '@palyra/rpc';
import { DeviceState } from '@palyra/rpc/admin';
import { go, live, openBrowser, shareBrowser, startConsole } from '../testing/console-browser.ts';
import { expectCode } from '../testing/expect-code.ts';
import { FleetForTests, missingPostgres } from '../testing/fleet.ts';
import { makeDevice, pair, request } from '../testing/sample-device.ts';
import { TestAgent } from '../testing/test-agent.ts';
import { wrongPin } from '../testing/wrong-code.ts';

shareBrowser();

const namesIn = (page: Awaited<ReturnType<typeof startConsole>>['page']) =>
  page.locator('.rows .cell-name a').allTextContents();

test('the fleet is filtered and ordered, and several devices are revoked after typing their number', async (t) => {
  const { daemon, browser, page, enter } = await startConsole(t);
  const ids: string[] = [];
  for (const name of ['zebra', 'ant', 'mole']) {
    const device = await makeDevice({ name });
    await pair(daemon, device);
    ids.push(device.identity.id);
  }
  await enter();
  await go(page, 'Devices');
  await page.getByRole('link', { name: 'mole' }).waitFor();
  await page.getByRole('link', { name: 'zebra' }).click();
  await page.getByRole('button', { name: 'Labels…' }).click();
  await page.getByLabel('Words, with spaces').fill('office Floor2');
  await page.getByRole('button', { name: 'Save' }).click();
  await page.getByText('is not a label').waitFor();
  await page.getByLabel('Words, with spaces').fill('office floor=2');
  await page.getByRole('button', { name: 'Save' }).click();
  await page.getByText('floor=2').first().waitFor();
  await daemon.admin.setLabels({ id: ids[1]!, labels: ['office'] });

  await go(page, 'Devices');
  await page.getByLabel('Order').selectOption('By name');
  await page.locator('.rows .row').nth(2).getByText('zebra').waitFor();
  assert.deepEqual(await namesIn(page), ['ant', 'mole', 'zebra']);
  await page.getByLabel('Labels', { exact: true }).fill('office');
  await page.getByRole('link', { name: 'mole' }).waitFor({ state: 'detached' });
  assert.deepEqual(await namesIn(page), ['ant', 'zebra']);
  await page.getByLabel('Labels', { exact: true }).fill('office floor=2');
  await page.getByRole('link', { name: 'ant' }).waitFor({ state: 'detached' });
  await page.getByLabel('Labels', { exact: true }).fill('office');
  await page.getByRole('link', { name: 'ant' }).waitFor();

  await page.getByRole('checkbox', { name: 'Choose ant' }).check();
  await page.getByRole('checkbox', { name: 'Choose zebra' }).check();
  await page.getByRole('button', { name: 'Revoke the chosen' }).click();
  const dialog = page.getByRole('dialog');
  for (const id of ids.slice(0, 2)) await dialog.getByText(id).waitFor();
  const confirm = dialog.getByRole('button', { name: 'Revoke 2 permanently' });
  await dialog.getByLabel('How many').fill('2');
  await dialog.locator('button:enabled', { hasText: 'Revoke 2 permanently' }).waitFor();
  await dialog.getByLabel('How many').fill('3');
  assert.equal(await confirm.isDisabled(), true);
  await dialog.getByLabel('How many').fill('2');
  await confirm.click();
  await dialog.waitFor({ state: 'detached' });
  const { devices } = await daemon.admin.listDevices({ states: [DeviceState.REVOKED] });
  assert.deepEqual(
    devices.map(({ id }) => id),
    ids.slice(0, 2),
  );
  const isCsp = (complaint: string) => complaint.includes('Content Security Policy');
  assert.deepEqual(browser.complaints.filter(isCsp), []);
});

test('a possible copy says where and why, and its first act is to revoke', async (t) => {
  const { daemon, page, enter } = await startConsole(t);
  const device = await makeDevice({ name: 'sensor' });
  const paired = await pair(daemon, device);
  await (await daemon.node(paired)).status({});
  const recovery = await dialPairing(paired.address, paired);
  daemon.closeAtEnd(recovery);
  await recoverCertificate(device, paired, recoveryPeer(recovery));
  await enter();
  await page.goto(`${new URL(page.url()).origin}/#/devices/${device.identity.id}`);
  const alarm = page.getByRole('alert', { name: 'Possible copy' });
  await alarm.getByText('127.0.0.1').waitFor();
  await alarm.getByText('although its certificate was valid').waitFor();
  const buttons = await page.locator('header .actions button').allTextContents();
  assert.deepEqual(buttons.slice(0, 2), ['Revoke…', 'Release…']);
});

test('a capability is run on its device, and what is no JSON is not sent', async (t) => {
  const { daemon, page, enter } = await startConsole(t);
  const device = await makeDevice({ name: 'kiosk' });
  const agent = new TestAgent(t, device, await pair(daemon, device), { transport: 'http2' });
  await agent.connected();
  await enter();
  await page.goto(`${new URL(page.url()).origin}/#/devices/${device.identity.id}`);
  const card = page.getByRole('region', { name: 'Run a capability' });
  await card.getByLabel('Capability').selectOption('echo');
  await card.getByLabel('Input, as JSON').fill('hello');
  await card.getByRole('button', { name: 'Run' }).click();
  await card.getByText('The input is not JSON').waitFor();
  await card.getByLabel('Input, as JSON').fill('{"hello":[1]}');
  await card.getByRole('button', { name: 'Run' }).press('Enter');
  await card.getByText('"hello": [').waitFor();
  await page.getByText('Capability run').first().waitFor();
});

test('activity shows names, the outcome of guesses and one device, and exports what it shows', async (t) => {
  const { daemon, page, enter } = await startConsole(t);
  await pair(daemon, await makeDevice({ name: 'other' }));
  await enter();
  await go(page, 'Activity');
  const device = await makeDevice({ name: 'sensor' });
  const { code } = await daemon.admin.mintCode({});
  const guess = async (guessed: Parameters<typeof requestPairing>[2]) =>
    requestPairing(device, await daemon.peer(), guessed, daemon.pairingAddress);
  await expectCode(guess(wrongPin(code)), 'DAEMON_NOT_AUTHENTICATED');
  const tried = page.getByRole('listitem').filter({ hasText: 'Code tried' });
  await tried.first().getByText('still open').waitFor();
  await guess(parsePairingCode(code));
  await tried.nth(0).getByText('right').waitFor();
  await tried.nth(1).getByText('wrong').waitFor();

  await page
    .getByRole('listitem')
    .filter({ hasText: 'Certificate issued' })
    .getByRole('link', { name: 'other' })
    .click();
  await page.getByRole('link', { name: 'Filter and export' }).click();
  await page.getByText('Only rows about').getByRole('link', { name: 'other' }).waitFor();
  await page.getByText('Code made').waitFor();
  assert.equal(await page.getByRole('region', { name: 'Audit' }).getByText('sensor').count(), 0);
  await page.getByRole('combobox').selectOption('Certificates');
  await page.getByText('Code made').waitFor({ state: 'detached' });
  const download = page.waitForEvent('download');
  await page.getByRole('button', { name: 'Export as JSON lines' }).click();
  const text = await readFile(await (await download).path(), 'utf8');
  const rows = text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  assert.ok(rows.length > 0);
  for (const row of rows) {
    assert.match(row.action, /^certificate\./);
    assert.equal(row.device_name, 'other');
  }
});

test('a request shows the known name beside the claimed one', async (t) => {
  const { daemon, page, enter } = await startConsole(t);
  const device = await makeDevice({ name: 'laptop' });
  await pair(daemon, device);
  await daemon.admin.renameDevice({ id: device.identity.id, name: 'Mira, laptop' });
  await request(daemon, { ...device, name: 'admin console' });
  await enter();
  await page.getByText('You know it as Mira, laptop; it calls itself admin console.').waitFor();
});

test('health counts connections over QUIC, and names the listeners', async (t) => {
  const { daemon, page, enter } = await startConsole(t);
  const device = await makeDevice({ name: 'kiosk' });
  const agent = new TestAgent(t, device, await pair(daemon, device), { transport: 'quic' });
  await agent.connected();
  await enter();
  await go(page, 'Health');
  await page
    .locator('.tile')
    .filter({ hasText: 'Device connections, QUIC' })
    .getByText('1', { exact: true })
    .waitFor();
  await page.getByRole('region', { name: 'Listeners' }).getByText('quic', { exact: true }).waitFor();
});

test('on a phone, a row shows life and last contact, and the page is not wider than the screen', async (t) => {
  const { daemon } = await startConsole(t);
  const device = await makeDevice({ name: 'a sensor with a rather long name in the kitchen' });
  await (await daemon.node(await pair(daemon, device))).status({});
  const phone = await openBrowser({ viewport: { width: 360, height: 740 } });
  t.after(() => phone.close());
  const { page } = phone;
  const { url } = await daemon.admin.createConsoleLogin({});
  await page.goto(url);
  await live(page);
  for (const path of [
    'devices',
    `devices/${device.identity.id}`,
    'activity',
    'health',
    'pair',
    'authority',
  ]) {
    await page.evaluate(`location.hash = '#/${path}'`);
    await page.getByRole('heading', { level: 1 }).waitFor();
    if (path === 'devices') {
      await page.locator('.cell-life').getByText(/left/).waitFor();
      assert.ok(await page.locator('.cell-seen').isVisible());
      assert.ok(await page.locator('.cell-life').isVisible());
    }
    const wide = await page.evaluate('document.documentElement.scrollWidth');
    assert.ok(Number(wide) <= 360, `${path}: ${wide}`);
  }
});

describe('the daemons of a fleet', { skip: missingPostgres }, () => {
  const fleet = new FleetForTests();

  test('are on the page Health, and one that is gone can be forgotten there', async (t) => {
    const settings = await fleet.settings();
    const { registry, masterKey } = settings;
    const { daemon, browser, page, enter } = await startConsole(t, { registry, masterKey });
    const [other] = await fleet.start(t, 1, {}, settings);
    await pair(daemon, await makeDevice());
    await enter();
    await go(page, 'Health');
    const { daemons } = await daemon.admin.getStatus({});
    const sectionOf = (isThis: boolean) =>
      page.getByRole('region', { name: `Daemon ${daemons.find((each) => each.isThis === isThis)!.id}` });
    const [own, gone] = [sectionOf(true), sectionOf(false)];
    await own.getByText('this daemon').waitFor();
    await own.getByText(daemon.nodeAddress).waitFor();
    await gone.getByText(/^seen .* ago$/).waitFor();
    await gone.getByText(other!.nodeAddress).waitFor();
    assert.equal(await page.getByRole('button', { name: 'Forget this daemon' }).count(), 0);

    await other!.stop();
    const seen = (change: string) =>
      fleet.server.sql(
        settings.url,
        `update daemons set seen_at = seen_at ${change} where id = '${daemons.find(({ isThis }) => !isThis)!.id}'`,
      );
    await seen('- 600000');
    await page.reload();
    await gone.getByText(/^Gone: seen .* ago$/).waitFor();
    const forget = gone.getByRole('button', { name: 'Forget this daemon' });
    await seen('+ 600000');
    await forget.click();
    await gone.getByText('No daemon of this fleet with this id is gone.').waitFor();
    await seen('- 600000');
    await forget.click();
    await gone.waitFor({ state: 'detached' });
    assert.deepEqual(
      (await daemon.admin.getStatus({})).daemons.map(({ isThis }) => isThis),
      [true],
    );
    assert.equal(
      (await daemon.running.identity.registry.audit({ limit: 9, action: 'daemon.forgotten' })).length,
      1,
    );
    // The browser's word for the refusal.
    assert.deepEqual(browser.complaints, [
      'Failed to load resource: the server responded with a status of 400 (Bad Request)',
    ]);
  });
});
