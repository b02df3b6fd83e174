// The console's pages are fast with many devices, accessible, and small.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { consolePages } from '@palyra/console';
import { PairingState, RotateRootRequest_Step } from '@palyra/rpc/admin';
import { hasNoFault } from '../testing/accessibility.ts';
import { go, live, shareBrowser, startConsole } from '../testing/console-browser.ts';
import { insertDevices } from '../testing/many-devices.ts';
import { makeDevice, pair, request, sameIdOtherKey } from '../testing/sample-device.ts';
import { until } from '../testing/until.ts';

shareBrowser();

const maxScriptBytes = 80 * 1024;

test('ten thousand devices: few rows exist at a time, the last is reached, and the daemon searches', async (t) => {
  const { daemon, page, enter } = await startConsole(t);
  await insertDevices(daemon, 10_000);
  await enter();
  await go(page, 'Devices');
  await page.getByText('10,000 devices were paired').waitFor();
  await page.getByRole('link', { name: 'device 00001', exact: true }).waitFor();
  const last = page.getByRole('link', { name: 'device 10000', exact: true });
  await until('the last device', async () => {
    await page.evaluate('scrollTo(0, document.body.scrollHeight)');
    await page.evaluate('new Promise(requestAnimationFrame)');
    return last.count();
  });
  assert.ok((await page.getByRole('listitem').count()) < 60);
  await page.getByRole('searchbox', { name: /^Search/ }).fill('00777');
  await page.getByRole('link', { name: 'device 00777', exact: true }).waitFor();
  await page.getByText('device 10000').waitFor({ state: 'detached' });
  assert.equal(await page.getByRole('listitem').count(), 1);
  await page.getByRole('searchbox', { name: /^Search/ }).fill('nobody');
  await page.getByText('No device matches').waitFor();
});

test('no page has a fault that axe finds, light or dark, wide or on a phone', async (t) => {
  const { daemon, page, enter } = await startConsole(t);
  const device = await makeDevice({ name: 'greenhouse' });
  await pair(daemon, device, { operator: true });
  await request(daemon, { ...device, identity: await sameIdOtherKey(device.identity) });
  await request(daemon, await makeDevice({ name: 'new one' }));
  await daemon.admin.rotateRoot({ step: RotateRootRequest_Step.PREPARE });
  await page.goto(`${daemon.console}/`);
  await page.getByText('palyra console', { exact: true }).waitFor();
  await hasNoFault(page, 'signed out');
  await enter();
  const places: readonly (readonly [hash: string, there: string, step?: string])[] = [
    ['/requests', 'ANOTHER KEY'],
    ['/requests', 'ANOTHER KEY', 'Approve another key'],
    ['/requests', 'ANOTHER KEY', 'Approve…'],
    ['/requests', 'ANOTHER KEY', 'Reject'],
    ['/requests', 'ANOTHER KEY', 'Approve as operator'],
    ['/pair', 'Make a code'],
    ['/pair', 'guesses left'],
    ['/pair', 'Shown only once', 'Withdraw'],
    ['/devices', 'Waits for its first use'],
    ['/devices', 'No device matches'],
    [`/devices/${device.identity.id}`, 'Certificate issued'],
    [`/devices/${device.identity.id}`, 'Certificate issued', 'Revoke'],
    [`/devices/${device.identity.id}`, 'Certificate issued', 'Revoke certificate'],
    [`/devices/${device.identity.id}`, 'Certificate issued', 'Remove operator role'],
    [`/devices/${device.identity.id}`, 'Certificate issued', 'Labels'],
    [`/activity/${device.identity.id}`, 'Only rows about'],
    ['/authority', 'A new root is prepared'],
    ['/authority', 'A new root is prepared', 'Sign with the new root'],
    ['/activity', 'rows, intact'],
    ['/health', 'Memory'],
    ['/passkeys', 'No passkey yet'],
    ['/passkeys', 'No passkey yet', 'Register a passkey'],
  ];
  // The size of a page does not change, because a headless browser sometimes stops drawing after many changes of size, and
  // then a click waits for ever. Keys do not wait for drawing.
  for (const [colorScheme, width] of [
    ['light', 1240],
    ['dark', 380],
  ] as const) {
    await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
    await page.setViewportSize({ width, height: 820 });
    await page.reload();
    await live(page);
    for (const [hash, there, step] of places) {
      await page.evaluate(`location.hash = ${JSON.stringify(hash)}`);
      if (there === 'guesses left') await page.getByRole('button', { name: 'Make a code' }).press('Enter');
      if (there === 'No device matches')
        await page.getByRole('searchbox', { name: /^Search/ }).fill('nobody');
      await page.getByText(there).first().waitFor();
      if (step) await page.getByRole('button', { name: step }).first().press('Enter');
      await hasNoFault(page, `${hash} ${step ?? ''} ${colorScheme} ${width}`);
      const wider = await page.evaluate('document.documentElement.scrollWidth - innerWidth');
      assert.ok(Number(wider) <= 0, `${hash} scrolls sideways at ${width}`);
      if (step) await page.keyboard.press('Escape');
    }
  }
});

test('the keyboard alone logs the operator through a decision', async (t) => {
  const { daemon, page, enter } = await startConsole(t);
  const { requestId, words } = await request(daemon, await makeDevice({ name: 'by keys' }));
  await enter();
  await page.getByRole('article').waitFor();
  for (let presses = 0; presses < 20; presses += 1) {
    await page.keyboard.press('Tab');
    const focused = await page.evaluate('document.activeElement.textContent');
    if (focused === 'Approve…') break;
  }
  await page.keyboard.press('Enter');
  await page.getByRole('dialog').waitFor();
  // The question has the focus, and its button becomes usable after a time to read.
  await page.keyboard.type(words);
  await page.locator('dialog button[type=submit]:not([disabled])').waitFor();
  await page.keyboard.press('Enter');
  await page.getByText('Nobody is waiting').waitFor();
  assert.equal((await daemon.admin.getPairing({ id: requestId })).state, PairingState.APPROVED);
});

test('the script is at most 80 KB with gzip, and there is none inline', () => {
  const assets = new URL('assets/', consolePages);
  const scripts = readdirSync(assets).filter((name) => name.endsWith('.js'));
  assert.ok(scripts.length > 0, 'the console is built: npm run build');
  const bytes = scripts.reduce((sum, name) => sum + gzipSync(readFileSync(new URL(name, assets))).length, 0);
  assert.ok(bytes <= maxScriptBytes, `${bytes} bytes`);
  const html = readFileSync(new URL('index.html', consolePages), 'utf8');
  assert.doesNotMatch(html, /<style|style=|\son\w+=|<script(?![^>]*\bsrc="\/assets\/)|https?:/);
});
