// The whole story of a browser with the extension: Debian's Chromium, a daemon in a process of its own, and the command.

import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'node:test';
import { DaemonProcess } from '../testing/daemon-process.ts';
import { ExtensionBrowser, extensionOrigin, pairIn } from '../testing/extension-browser.ts';
import { temporaryFolder } from '../testing/temporary-folder.ts';

test('the extension pairs by a typed code, runs a capability, and is told that it was revoked', async (t) => {
  const home = temporaryFolder();
  const daemon = await startDaemon(t, home);
  const admin = await daemon.admin();
  const browser = await ExtensionBrowser.start(t);
  const popup = await browser.open('popup');
  const { code } = await admin.mintCode({});
  await pairIn(popup, daemon.webAddress, code);
  const words = await popup.getByTestId('words').innerText();
  const { pairings } = await admin.listPairings({});
  assert.equal(pairings[0]!.device!.words, words);
  await admin.approvePairing({ id: pairings[0]!.id });
  await popup.getByText('Connected', { exact: true }).waitFor();
  assert.deepEqual(browser.complaints, []);
});

async function startDaemon(t: import('node:test').TestContext, home: string) {
  const config = {
    pairing: { host: '127.0.0.1', port: 0 },
    node: { host: '127.0.0.1', port: 0 },
    quic: { enabled: false },
    console: { enabled: false },
    announce: false,
    web: { port: 0, origins: [extensionOrigin] },
    limits: { deviceCertificateLifeMs: 60_000 },
  };
  await mkdir(join(home, 'daemon'), { mode: 0o700 });
  await writeFile(join(home, 'daemon/config.json'), JSON.stringify(config), { mode: 0o600 });
  return DaemonProcess.start(t as never, { home });
}
