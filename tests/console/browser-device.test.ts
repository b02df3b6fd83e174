// A browser as a device, watched and revoked in the console. Each has a profile of its own.

import assert from 'node:assert/strict';
import test from 'node:test';
import { servePage } from '../testing/browser-page.ts';
import { go, openBrowser, shareBrowser, startConsole } from '../testing/console-browser.ts';
import { answer } from '../testing/palyra-process.ts';

shareBrowser();

/** What the page of the device has; the functions below run there. */
declare const palyra: typeof import('../../packages/browser/src/index.ts') &
  typeof import('../../packages/browser/src/serve.ts');
declare const document: { body: { append(text: string): void } };

test('the console shows kind, transport and origin of a browser, and revoking it closes its channel', async (t) => {
  const origin = `http://127.0.0.1:${await servePage(t)}`;
  const { daemon, page, enter } = await startConsole(t, { web: { port: 0, origins: [origin] } });
  const browser = await openBrowser();
  t.after(() => browser.close());
  await browser.page.goto(origin);
  await browser.page.getByText('ready').waitFor();
  const { code } = await daemon.admin.mintCode({ autoApprove: true });
  const given = { address: daemon.webAddress, code };
  const told = browser.page.evaluate(async ({ address, code }) => {
    const device = await palyra.BrowserDevice.open();
    await device.pair({ address, code, name: 'work laptop', onWords: () => {} });
    const { signal } = new AbortController();
    const onState = ({ state }: { state: string }) => document.body.append(` ${state} `);
    return palyra.serveDaemon(device, { signal, onState }).then(
      () => undefined,
      ({ code }) => code as string,
    );
  }, given);
  await browser.page.getByText('connected').waitFor();

  await enter();
  await page.evaluate('window.sameLoad = true');
  await go(page, 'Devices');
  await page.getByText('Connected · WebSocket').waitFor();
  await page.getByText(`Browser · ${origin}`).waitFor();
  await page.getByRole('link', { name: 'work laptop' }).click();
  await page.getByText('Connected from the origin').waitFor();
  await page.getByText(origin, { exact: true }).waitFor();
  const { devices } = await answer(['devices', 'list'], { home: daemon.home });
  const { kind, connected, transport } = devices[0];
  assert.deepEqual(
    { kind, connected, transport, origin: devices[0].origin },
    { kind: 'browser', connected: true, transport: 'websocket', origin },
  );

  await page.getByRole('button', { name: 'Revoke…', exact: true }).click();
  await page.getByText('Its open WebSocket connection is closed at once').waitFor();
  await page.getByRole('button', { name: 'Revoke permanently' }).click();
  assert.equal(await told, 'DEVICE_REVOKED');
  await page.getByText('Revoked', { exact: true }).waitFor();
  await page.getByText('Connected from the origin').waitFor({ state: 'detached' });
  assert.equal(await page.evaluate('window.sameLoad'), true);
});
