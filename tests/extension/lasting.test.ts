// What a browser goes through without losing its daemons: a worker that is killed during a pairing, a machine that sleeps, several
// daemons, several profiles, and a profile that was cleared.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import process from 'node:process';
import test from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { ExtensionBrowser, extensionOrigin, pairIn } from '../testing/extension-browser.ts';
import { heldTcpPath } from '../testing/held-path.ts';
import { TestDaemon } from '../testing/running-daemon.ts';
import { temporaryFolder } from '../testing/temporary-folder.ts';
import { until } from '../testing/until.ts';

/** Longer than a timer of the extension is ever late. */
const asleepMs = 16_000;
const web = { port: 0, origins: [extensionOrigin] };

const isConnected = async (daemon: TestDaemon) =>
  (await daemon.admin.listDevices({})).devices.some(({ transport }) => transport !== 0);

test('a request goes on waiting when the popup is closed and the worker is killed', async (t) => {
  const daemon = await TestDaemon.start(t, { web });
  const browser = await ExtensionBrowser.start(t);
  const popup = await browser.open('popup');
  const { code, pairingId } = await daemon.admin.mintCode({});
  await pairIn(popup, daemon.webAddress, code);
  const words = await popup.getByTestId('words').innerText();
  await popup.close();
  await browser.killWorker();

  const again = await browser.open('popup');
  assert.equal(await again.getByTestId('words').innerText(), words);
  await again.close();
  await daemon.admin.approvePairing({ id: pairingId });
  await until('the browser is connected', () => isConnected(daemon));
  await browser.close();
});

test('a rejected request, an expired code and a wrong code are told with the next step', async (t) => {
  const daemon = await TestDaemon.start(t, { web });
  const browser = await ExtensionBrowser.start(t);
  const popup = await browser.open('popup');
  const { code, pairingId } = await daemon.admin.mintCode({});
  await pairIn(popup, daemon.webAddress, '12345');
  await popup.getByText('CODE_MALFORMED').waitFor();
  await pairIn(popup, daemon.webAddress, `${code.slice(0, 4)}${code.endsWith('1') ? '111112' : '111111'}`);
  await popup.getByText('DAEMON_NOT_AUTHENTICATED').waitFor();
  await popup.getByText('Ask the operator for a new code.').waitFor();
  await pairIn(popup, '127.0.0.1:1', code);
  await popup.getByText(`its configuration lists this page's origin, ${extensionOrigin}`).waitFor();
  await pairIn(popup, daemon.webAddress, code);
  await popup.getByTestId('words').waitFor();
  await daemon.admin.rejectPairing({ id: pairingId, reason: 'not today' });
  await popup.getByText(/The operator rejected this device: not today/).waitFor();
  assert.equal(await popup.getByText('Ended', { exact: true }).count(), 1);
  await popup.getByText('Pair again').click();
  const second = await daemon.admin.mintCode({ qr: true, autoApprove: true });
  await popup.getByLabel('Code that the daemon shows').fill(second.code);
  await popup.getByRole('button', { name: 'Pair', exact: true }).click();
  await popup.getByText('Connected', { exact: true }).waitFor();
  await browser.close();
});

test('after a sleep in which the connection died without a word, the browser connects again', async (t) => {
  const daemon = await TestDaemon.start(t, { web });
  const path = await heldTcpPath(t, new URL(daemon.webAddress).host);
  const profile = temporaryFolder();
  const browser = await ExtensionBrowser.start(t, profile);
  const popup = await browser.open('popup');
  const { code } = await daemon.admin.mintCode({ qr: true, autoApprove: true });
  await pairIn(popup, `ws://${path.address}`, code);
  await popup.getByText('Connected', { exact: true }).waitFor();
  const group = -browserProcess(profile);
  process.kill(group, 'SIGSTOP');
  path.mute();
  const connections = path.connections;
  await sleep(asleepMs);
  process.kill(group, 'SIGCONT');
  // Long before the silence of the old connection is noticed.
  const awakeAt = performance.now();
  await until('another connection', () => path.connections > connections);
  assert.ok(performance.now() - awakeAt < 30_000);
  await popup.getByText('Connected', { exact: true }).waitFor();
  await browser.close();
});

test('a browser is a device of several daemons; a daemon that is forgotten leaves the others', async (t) => {
  const daemons = [await TestDaemon.start(t, { web }), await TestDaemon.start(t, { web })] as const;
  const browser = await ExtensionBrowser.start(t);
  const options = await browser.open('options');
  for (const daemon of daemons) {
    const { code } = await daemon.admin.mintCode({ qr: true, autoApprove: true });
    await pairIn(options, daemon.webAddress, code);
    await until('connected', () => isConnected(daemon));
  }
  const [first, second] = daemons.map(({ running }) =>
    options.getByRole('region', { name: `Daemon ${running.identity.trustDomain}` }),
  );
  await second!.getByText('Connected', { exact: true }).waitFor();
  await first!.getByText('Forget this daemon').click();
  await first!.getByRole('button', { name: 'Yes, forget it' }).click();
  await first!.waitFor({ state: 'detached' });
  await until('the first has lost it', async () => !(await isConnected(daemons[0])));
  assert.ok(await isConnected(daemons[1]));
  await browser.close();
});

test('an extension that was updated, or switched off and on again, connects without a page of its own', async (t) => {
  const daemon = await TestDaemon.start(t, { web });
  const browser = await ExtensionBrowser.start(t);
  const popup = await browser.open('popup');
  const { code } = await daemon.admin.mintCode({ qr: true, autoApprove: true });
  await pairIn(popup, daemon.webAddress, code);
  await until('connected', () => isConnected(daemon));
  const manager = await browser.context.newPage();
  await manager.goto('chrome://extensions');
  for (const isOn of [false, true]) {
    await manager.evaluate(async (enabled) => {
      const { chrome } = globalThis as unknown as {
        chrome: { management: { setEnabled(id: string, enabled: boolean): Promise<void> } };
      };
      await chrome.management.setEnabled('mjebnfgflbmipmmabfpgncfdknefemid', enabled);
    }, isOn);
    await until('the daemon has noticed', async () => (await isConnected(daemon)) === isOn);
  }
  // What an update does as well. Without developer mode, Chromium does not load an unpacked extension again.
  await manager.evaluate(() =>
    (
      globalThis as unknown as {
        chrome: { developerPrivate: { updateProfileConfiguration(change: object): Promise<void> } };
      }
    ).chrome.developerPrivate.updateProfileConfiguration({ inDeveloperMode: true }),
  );
  const reloader = await browser.open('options');
  await reloader
    .evaluate(() =>
      (globalThis as unknown as { chrome: { runtime: { reload(): void } } }).chrome.runtime.reload(),
    )
    .catch(() => {});
  await until('another worker', async () => (await browser.isWorking()) && (await isConnected(daemon)));
  const again = await browser.open('popup');
  await again.getByText('Connected', { exact: true }).waitFor();
  await browser.close();
});

test('the address that a person typed is there when the popup is opened again, and the code is not', async (t) => {
  const browser = await ExtensionBrowser.start(t);
  const popup = await browser.open('popup');
  await popup.getByLabel('Address of the daemon').fill('home.example');
  await popup.getByLabel('Code that the daemon shows').fill('123-456789');
  await popup.getByLabel('Name of this browser').focus();
  await popup.close();
  const again = await browser.open('popup');
  await until(
    'the address',
    async () => (await again.getByLabel('Address of the daemon').inputValue()) === 'home.example',
  );
  assert.equal(await again.getByLabel('Code that the daemon shows').inputValue(), '');
  await browser.close();
});

test('two profiles are two devices, and a profile that was cleared is a new one', async (t) => {
  const daemon = await TestDaemon.start(t, { web });
  const names = ['one', 'two'];
  for (const name of names) {
    const browser = await ExtensionBrowser.start(t);
    const popup = await browser.open('popup');
    await popup.getByText('It is paired with no daemon').waitFor();
    const { code } = await daemon.admin.mintCode({ qr: true, autoApprove: true });
    await popup.getByLabel('Name of this browser').fill(name);
    await pairIn(popup, daemon.webAddress, code);
    await popup.getByText('Connected', { exact: true }).waitFor();
    if (name === 'two') {
      await popup.evaluate(async () => {
        const { indexedDB } = globalThis as unknown as {
          indexedDB: { deleteDatabase(name: string): { onsuccess: () => void } };
        };
        await new Promise<void>((resolve) => {
          indexedDB.deleteDatabase('palyra').onsuccess = () => resolve();
        });
      });
      await popup.getByText('its data was cleared').waitFor();
      // The worker of a browser that is started again says the same.
      await browser.killWorker();
      await popup.reload();
      await popup.getByText('its data was cleared').waitFor();
    }
    await browser.close();
  }
  const { devices } = await daemon.admin.listDevices({});
  assert.deepEqual(devices.map(({ name }) => name).sort(), names);
  assert.notEqual(devices[0]!.identityFingerprint, devices[1]!.identityFingerprint);
});

/** The first process of a browser, which leads a group of its own. */
function browserProcess(profile: string): number {
  for (const entry of readdirSync('/proc').filter((each) => /^\d+$/.test(each))) {
    try {
      const words = readFileSync(`/proc/${entry}/cmdline`, 'utf8').split('\0');
      if (words.includes(`--user-data-dir=${profile}`) && !words.some((word) => word.startsWith('--type=')))
        return Number(entry);
    } catch {
      // It has ended in between.
    }
  }
  throw new Error('no browser runs with this profile');
}
