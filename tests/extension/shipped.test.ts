// The extension as it is shipped: what it asks of the browser, and what it does without the permissions of the person.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { ExtensionBrowser, extensionOrigin, pairIn, shippedExtension } from '../testing/extension-browser.ts';
import { TestDaemon } from '../testing/running-daemon.ts';
import { until } from '../testing/until.ts';

test('the manifest asks for nothing that a person does not decide, and for no access to sites', async () => {
  const manifest = JSON.parse(readFileSync(join(await shippedExtension(), 'manifest.json'), 'utf8'));
  assert.deepEqual(Object.keys(manifest).sort(), [
    'action',
    'background',
    'browser_specific_settings',
    'content_security_policy',
    'description',
    'icons',
    'incognito',
    'key',
    'manifest_version',
    'minimum_chrome_version',
    'name',
    'optional_permissions',
    'options_ui',
    'permissions',
    'version',
  ]);
  assert.deepEqual(manifest.permissions, ['alarms', 'storage', 'unlimitedStorage']);
  assert.deepEqual(manifest.optional_permissions, ['tabs', 'notifications', 'clipboardRead']);
  assert.equal(manifest.incognito, 'not_allowed');
  const policy = new Map<string, string>(
    manifest.content_security_policy.extension_pages
      .split('; ')
      .map((each: string) => [each.split(' ', 1)[0], each.slice(each.indexOf(' ') + 1)]),
  );
  assert.deepEqual([...policy.entries()].sort(), [
    ['base-uri', "'none'"],
    ['connect-src', 'ws: wss:'],
    ['default-src', "'none'"],
    ['form-action', "'none'"],
    ['frame-ancestors', "'none'"],
    ['img-src', "'self'"],
    ['script-src', "'self'"],
    ['style-src', "'self'"],
  ]);
});

test('every file that a page names is in the extension', async () => {
  const folder = await shippedExtension();
  const files = readdirSync(folder).sort();
  assert.deepEqual(files, [
    'icon-128.png',
    'icon-16.png',
    'icon-48.png',
    'manifest.json',
    'options.html',
    'options.js',
    'popup.html',
    'popup.js',
    'style.css',
    'worker.js',
  ]);
  for (const page of ['popup.html', 'options.html']) {
    const named = [...readFileSync(join(folder, page), 'utf8').matchAll(/(?:src|href)="([^"]*)"/g)];
    for (const [, path] of named) assert.ok(files.includes(path!), `${page} names ${path}`);
  }
});

test('a switch without the permission of the browser does not count', async (t) => {
  const daemon = await TestDaemon.start(t, { web: { port: 0, origins: [extensionOrigin] } });
  const browser = await ExtensionBrowser.start(t, undefined, await shippedExtension());
  const popup = await browser.open('popup');
  const { code } = await daemon.admin.mintCode({ qr: true, autoApprove: true });
  await pairIn(popup, daemon.webAddress, code);
  await popup.getByText('Connected', { exact: true }).waitFor();
  // As if a permission had been taken back, or the record had been damaged.
  await popup.evaluate(async () => {
    const { chrome } = globalThis as unknown as {
      chrome: { storage: { local: { get(): Promise<object>; set(values: object): Promise<void> } } };
    };
    const keys = Object.keys(await chrome.storage.local.get()).filter((key) => key.startsWith('daemon/'));
    if (keys.length !== 0) throw new Error('nothing was switched on');
  });
  const root = daemon.running.identity.rootFingerprint;
  const store = (value: object) =>
    popup.evaluate(
      ([key, value]) =>
        (
          globalThis as unknown as { chrome: { storage: { local: { set(values: object): Promise<void> } } } }
        ).chrome.storage.local.set({ [key as string]: value }),
      [`daemon/${root}`, value] as const,
    );
  const [device] = (await daemon.admin.listDevices({})).devices;
  const offered = async () => (await daemon.admin.getDevice({ id: device!.id })).device?.capabilities;
  await store({ switches: ['tabs.list', 'notify', 'tabs.open', 'clipboard.read', 'echo', 7] });
  await browser.killWorker();
  await until('only what needs no permission', async () => (await offered())?.join() === 'tabs.open');
  await store({ switches: 'tabs.open' });
  await browser.killWorker();
  await until('nothing', async () => (await offered())?.length === 0);
  await browser.close();
});
