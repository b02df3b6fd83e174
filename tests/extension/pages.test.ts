// The pages of the extension are accessible, small, and load nothing from elsewhere.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { gzipSync } from 'node:zlib';
import type { Page } from 'playwright-core';
import { hasNoFault } from '../testing/accessibility.ts';
import {
  ExtensionBrowser,
  extensionOrigin,
  pairIn,
  shippedExtension,
  switchOn,
} from '../testing/extension-browser.ts';
import { TestDaemon } from '../testing/running-daemon.ts';
import { makeDevice, request } from '../testing/sample-device.ts';

const maxBytes = { 'worker.js': 110 * 1024, 'popup.js': 24 * 1024, 'options.js': 24 * 1024 };

test('no state of a page has a fault that axe finds, light or dark', async (t) => {
  const daemon = await TestDaemon.start(t, { web: { port: 0, origins: [extensionOrigin] } });
  const browser = await ExtensionBrowser.start(t);
  const popup = await browser.open('popup');
  const check = async (where: string, page: Page = popup) => {
    for (const colorScheme of ['light', 'dark'] as const) {
      await page.emulateMedia({ colorScheme });
      await hasNoFault(page, `${where}, ${colorScheme}`);
    }
  };
  await popup.getByLabel('Address of the daemon').waitFor();
  await check('unpaired');
  await pairIn(popup, daemon.webAddress, '1');
  await popup.getByText('CODE_MALFORMED').waitFor();
  await check('an error');
  const { code, pairingId } = await daemon.admin.mintCode({});
  await pairIn(popup, daemon.webAddress, code);
  await popup.getByTestId('words').waitFor();
  await check('waiting');
  await daemon.admin.approvePairing({ id: pairingId, operator: true });
  await popup.getByText('Connected', { exact: true }).waitFor();
  await popup.getByText('Details').click();
  await check('connected');

  const options = await browser.open('options');
  await switchOn(options, 'Requests of other devices');
  await switchOn(options, 'Ask for the clipboard');
  await check('options', options);
  await options.close();
  await request(daemon, await makeDevice({ name: 'kitchen sensor' }));
  const [device] = (await daemon.admin.listDevices({})).devices;
  const asking = daemon.admin.executeCapability({ deviceId: device!.id, capability: 'clipboard.read' });
  asking.catch(() => {});
  await popup.getByRole('region', { name: 'Request of kitchen sensor' }).waitFor();
  await popup.getByRole('region', { name: 'Clipboard' }).waitFor();
  await check('a request and a call');
  await daemon.admin.revokeDevice({ id: device!.id, reason: 'lost' });
  await popup.getByText('DEVICE_REVOKED').waitFor();
  await popup.getByText('Pair again as a new device').click();
  await check('revoked');
  assert.deepEqual(browser.complaints, []);
  assert.ok(browser.requested.every((url) => url.startsWith(extensionOrigin)));
  await browser.close();
});

test('the scripts are small, and the pages have nothing inline', async () => {
  const folder = await shippedExtension();
  for (const [name, most] of Object.entries(maxBytes)) {
    const bytes = gzipSync(readFileSync(join(folder, name))).length;
    assert.ok(bytes <= most, `${name} has ${bytes} bytes`);
  }
  for (const page of ['popup.html', 'options.html']) {
    const html = readFileSync(join(folder, page), 'utf8');
    assert.doesNotMatch(html, /<style|style=|\son\w+=|<script(?![^>]*\bsrc=)|https?:/);
  }
});
