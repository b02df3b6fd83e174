// Passkeys in Chromium with its virtual authenticator: the browser's own WebAuthn, at http://localhost.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DeviceRole, DeviceState } from '@palyra/rpc/admin';
import type { CDPSession, Page } from 'playwright-core';
import { go, shareBrowser, startConsole } from '../testing/console-browser.ts';
import { approve } from '../testing/console-presses.ts';
import { makeDevice, pair, request } from '../testing/sample-device.ts';

shareBrowser();

/** An authenticator of this browser, like the one in a laptop (Chrome DevTools Protocol, WebAuthn). */
async function plugIn(page: Page): Promise<{ cdp: CDPSession; authenticatorId: string }> {
  const cdp = await page.context().newCDPSession(page);
  await cdp.send('WebAuthn.enable');
  const { authenticatorId } = await cdp.send('WebAuthn.addVirtualAuthenticator', {
    options: {
      protocol: 'ctap2',
      transport: 'internal',
      hasResidentKey: true,
      hasUserVerification: true,
      isUserVerified: true,
      automaticPresenceSimulation: true,
    },
  });
  return { cdp, authenticatorId };
}

async function register(page: Page, name: string): Promise<void> {
  await go(page, 'Passkeys');
  await page.getByRole('button', { name: 'Register a passkey' }).click();
  await page.getByLabel('A name for it').fill(name);
  await page.getByRole('dialog').getByRole('button', { name: 'Register', exact: true }).click();
  await page.getByText('The console asks for a passkey').waitFor();
}

test('an operator registers a passkey, and confirms an approval, a role and a revocation of many with it', async (t) => {
  const { daemon, browser, page, enter } = await startConsole(t);
  const url = await enter();
  assert.match(url, /^http:\/\/localhost:/);
  const { cdp, authenticatorId } = await plugIn(page);
  await register(page, 'laptop');
  const used = async () =>
    (await cdp.send('WebAuthn.getCredentials', { authenticatorId })).credentials[0]!.signCount;
  const before = await used();

  const device = await makeDevice({ name: 'sensor' });
  const pending = await request(daemon, device);
  await go(page, 'Requests');
  await page.getByRole('button', { name: 'Approve…' }).click();
  await approve(page, pending.words);
  await page.getByText('Nobody is waiting').waitFor();
  assert.equal(await used(), before + 1);

  await go(page, 'Devices');
  await page.getByRole('link', { name: 'sensor' }).click();
  await page.getByRole('button', { name: 'Make operator' }).click();
  await page.getByRole('checkbox').check();
  await page.getByRole('button', { name: 'Make it an OPERATOR', exact: true }).click();
  await page.getByRole('button', { name: 'Remove operator role' }).waitFor();
  assert.equal(await used(), before + 2);
  const { role } = (await daemon.admin.getDevice({ id: device.identity.id })).device!;
  assert.equal(role, DeviceRole.OPERATOR);

  await pair(daemon, await makeDevice({ name: 'other' }));
  await go(page, 'Devices');
  await page.getByRole('checkbox', { name: 'Choose sensor' }).check();
  await page.getByRole('checkbox', { name: 'Choose other' }).check();
  await page.getByRole('button', { name: 'Revoke the chosen' }).click();
  await page.getByLabel('How many').fill('2');
  await page.getByRole('button', { name: 'Revoke 2 permanently' }).click();
  await page.getByRole('dialog').waitFor({ state: 'detached' });
  assert.equal(await used(), before + 3);
  const { devices } = await daemon.admin.listDevices({ states: [DeviceState.REVOKED] });
  assert.equal(devices.length, 2);
  assert.deepEqual(
    browser.complaints.filter((each) => each.includes('Content Security Policy')),
    [],
  );
});

test('without the person nothing is done, and the last passkey goes with its own consent', async (t) => {
  const { daemon, page, enter } = await startConsole(t);
  await enter();
  const { cdp, authenticatorId } = await plugIn(page);
  await register(page, 'laptop');
  const device = await makeDevice({ name: 'sensor' });
  await pair(daemon, device);
  // The person does not touch it, and the browser's question ends.
  await cdp.send('WebAuthn.setUserVerified', { authenticatorId, isUserVerified: false });
  await page.evaluate(`location.hash = '#/devices/${device.identity.id}'`);
  await page.getByRole('button', { name: 'Make operator' }).click();
  await page.getByRole('checkbox').check();
  await page.getByRole('button', { name: 'Make it an OPERATOR', exact: true }).click();
  await page.getByText('No passkey was used').waitFor();
  const { role } = (await daemon.admin.getDevice({ id: device.identity.id })).device!;
  assert.equal(role, DeviceRole.DEVICE);
  await page.getByRole('button', { name: 'Cancel' }).click();

  await cdp.send('WebAuthn.setUserVerified', { authenticatorId, isUserVerified: true });
  await go(page, 'Passkeys');
  await page.getByRole('button', { name: 'Remove laptop' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Remove', exact: true }).click();
  await page.getByText('No passkey yet').waitFor();
  assert.deepEqual((await daemon.admin.listPasskeys({})).passkeys, []);
});

test('the console at 127.0.0.1 leads to localhost, where browsers allow passkeys', async (t) => {
  const { daemon, page } = await startConsole(t);
  const { url } = await daemon.admin.createConsoleLogin({});
  await page.goto(url.replace('//localhost:', '//127.0.0.1:'));
  await page.getByText('Live', { exact: true }).waitFor();
  assert.equal(new URL(page.url()).hostname, 'localhost');
});
