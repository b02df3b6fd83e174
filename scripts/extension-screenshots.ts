// Takes the popup of the extension in each of its states, and its options, light and dark.

import type { TestContext } from 'node:test';
import type { Page } from 'playwright-core';
import { ExtensionBrowser, extensionOrigin, pairIn, switchOn } from '../tests/testing/extension-browser.ts';
import { freePort } from '../tests/testing/free-port.ts';
import { TestDaemon } from '../tests/testing/running-daemon.ts';
import { makeDevice, request } from '../tests/testing/sample-device.ts';

/** @param keep whether a file of this name is wanted. */
export async function takeExtension(
  scope: TestContext,
  folder: string,
  keep: (file: string) => boolean,
): Promise<void> {
  const port = await freePort();
  const options = { web: { port, origins: [extensionOrigin] }, trustDomain: 'home.example' };
  const first = await TestDaemon.start(scope, options);
  const browser = await ExtensionBrowser.start(scope);
  const popup = await browser.open('popup');
  await popup.setViewportSize({ width: 360, height: 640 });
  const take = async (name: string, page: Page = popup) => {
    await page.bringToFront();
    await page.mouse.move(0, 0);
    for (const colorScheme of ['light', 'dark'] as const) {
      await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
      const file = `extension-${name}-${colorScheme}`;
      if (keep(file)) await page.locator('body').screenshot({ path: `${folder}/${file}.png` });
    }
  };

  await popup.getByLabel('Address of the daemon').waitFor();
  await take('unpaired');
  await pairIn(popup, '127.0.0.1:1', '123-456789');
  await popup.getByText('UNREACHABLE').waitFor();
  await take('unreachable');
  const { code, pairingId } = await first.admin.mintCode({});
  await pairIn(popup, `127.0.0.1:${port}`, `${code.slice(0, 4)}${code.endsWith('1') ? '111112' : '111111'}`);
  await popup.getByText('DAEMON_NOT_AUTHENTICATED').waitFor();
  await take('wrong-code');
  await pairIn(popup, `127.0.0.1:${port}`, code);
  await popup.getByTestId('words').waitFor();
  await take('waiting');
  await first.admin.approvePairing({ id: pairingId, operator: true });
  await popup.getByText('Connected', { exact: true }).waitFor();
  await take('connected');
  await popup.getByText('Details').click();
  await take('details');
  await popup.getByText('Details').click();

  const settings = await browser.open('options');
  await settings.setViewportSize({ width: 720, height: 900 });
  for (const name of ['Open a tab', 'Ask for the clipboard', 'Requests of other devices'])
    await switchOn(settings, name);
  await take('options', settings);
  await settings.close();

  const [device] = (await first.admin.listDevices({})).devices;
  const asking = first.admin
    .executeCapability({ deviceId: device!.id, capability: 'clipboard.read', timeoutMs: 60_000 })
    .catch(() => {});
  await popup.getByRole('region', { name: 'Clipboard' }).waitFor();
  await take('clipboard');
  await popup.getByRole('button', { name: 'Refuse' }).click();
  await asking;
  await request(first, await makeDevice({ name: 'kitchen sensor' }));
  await popup.getByRole('button', { name: 'The words are the same: approve' }).isEnabled();
  await popup.waitForTimeout(1_500);
  await take('request');
  await popup.getByRole('button', { name: 'Reject' }).click();

  await first.stop();
  await popup.getByText('Not reachable, tries again').waitFor();
  await take('away');
  const second = await TestDaemon.start(scope, { ...options, home: first.home });
  await popup.getByText('Connected', { exact: true }).waitFor();
  await second.admin.revokeDevice({ id: device!.id, reason: 'lost' });
  await popup.getByText('DEVICE_REVOKED').waitFor();
  await take('revoked');
  await popup.getByText('Pair again as a new device').click();
  await take('pair-again');
  await browser.close();
}
