// The console in a real browser, with devices in separate processes.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PairingState } from '@palyra/rpc/admin';
import type { Page } from 'playwright-core';
import decodeQr from 'qr/decode.js';
import {
  type ConsoleBrowser,
  go,
  live,
  openBrowser,
  shareBrowser,
  startConsole,
} from '../testing/console-browser.ts';
import { approve } from '../testing/console-presses.ts';
import { HeldClock, minute } from '../testing/held-clock.ts';
import { answer, makeHome, PalyraProcess } from '../testing/palyra-process.ts';
import { makeDevice, pair, request, sameIdOtherKey } from '../testing/sample-device.ts';

shareBrowser();

test('from the login link to a revoked device, on one page that is never reloaded', async (t) => {
  const { daemon, browser, page } = await startConsole(t, { program: 'chromium' });
  const { url } = await answer(['console'], { home: daemon.home });
  await page.goto(url);
  await live(page);
  assert.equal(page.url(), `${daemon.console}/`, 'the secret was removed from the address');
  await page.evaluate('window.sameLoad = true');
  await page.getByText('Nobody is waiting').waitFor();

  await go(page, 'Pair');
  await page.getByRole('button', { name: 'Make a code' }).click();
  const code = (await page.getByLabel('Pairing code').textContent()) ?? '';
  assert.match(code, /^\d{3}-\d{6}$/);
  await page.getByText('guesses left').waitFor();

  const home = await makeHome(t);
  const pairing = PalyraProcess.start(
    ['pair', daemon.pairingAddress, '--code-stdin', '--name', 'kitchen sensor', '--kind', 'node'],
    { home, stdin: `${code}\n` },
  );
  const { words } = await pairing.line(({ event }) => event === 'words');
  await page.getByText('kitchen sensor asks to pair', { exact: true }).waitFor();
  assert.equal(await page.getByLabel('Pairing code').count(), 0, 'a used code is not shown any more');
  await page.getByText('go to its request').click();
  const card = page.getByRole('article', { name: 'Request of kitchen sensor' });
  assert.equal((await card.getByTestId('words').textContent())?.trim(), words);
  await card.getByText('New device', { exact: true }).waitFor();
  await card.getByRole('button', { name: 'Approve…', exact: true }).click();
  await approve(page, String(words));
  await page.getByText('Nobody is waiting').waitFor();
  assert.equal((await pairing.ended).exitCode, 0);
  await page.getByText('the device has its certificate').waitFor();

  const agent = PalyraProcess.start(['node', 'run', '--transport', 'http2'], { home });
  await page.getByText('Connected with its certificate').waitFor();
  await go(page, 'Devices');
  await page.getByText('Connected · HTTP/2').waitFor();
  await page.getByRole('link', { name: 'kitchen sensor' }).click();
  await page.getByText('Certificate first used').first().waitFor();

  await page.getByRole('button', { name: 'Rename' }).click();
  await page.getByRole('textbox', { name: 'Name' }).fill('pantry sensor');
  await page.getByRole('dialog').getByRole('button', { name: 'Rename' }).click();
  await page.getByRole('heading', { name: 'pantry sensor' }).waitFor();

  await page.getByRole('button', { name: 'Revoke…', exact: true }).click();
  await page.getByText('Its open HTTP/2 connection is closed at once').waitFor();
  await page.getByText('Its valid certificate stops working at once').waitFor();
  await page.getByLabel('Reason').fill('moved out');
  await page.getByRole('button', { name: 'Revoke permanently' }).click();
  await page.getByText('Revoked', { exact: true }).waitFor();
  await page.getByText('Device revoked', { exact: true }).waitFor();
  assert.equal((await agent.ended).lines.at(-1)?.error?.code, 'DEVICE_REVOKED');
  assert.equal(await page.getByRole('button', { name: 'Revoke' }).count(), 0);

  await go(page, 'Activity');
  await page.getByText('moved out').waitFor();
  await page.getByText(/^\d+ rows, intact$/).waitFor();
  assert.equal(await page.evaluate('window.sameLoad'), true);
  await isQuietAndAlone(browser, daemon);
});

test('the QR code, read from a picture of the page, pairs a device', async (t) => {
  const { page, enter } = await startConsole(t);
  await enter();
  await go(page, 'Pair');
  await page.getByText('Long code', { exact: true }).click();
  await page.getByRole('button', { name: 'Make a code' }).click();
  const uri = await readQr(page);
  assert.match(uri, /^palyra:/);
  const pairing = PalyraProcess.start(['pair', '--qr', '-', '--name', 'phone'], {
    home: await makeHome(t),
    stdin: uri,
  });
  await page.getByText('phone asks to pair', { exact: true }).waitFor();
  await go(page, 'Requests');
  await page.getByRole('button', { name: 'Approve…', exact: true }).click();
  await approve(page, String((await pairing.line(({ event }) => event === 'words')).words));
  assert.equal((await pairing.ended).exitCode, 0);
});

test('a rejected device is told the reason that was typed', async (t) => {
  const { daemon, page, enter } = await startConsole(t);
  await enter();
  const pairing = PalyraProcess.start(['pair', daemon.pairingAddress, '--code-stdin', '--name', 'stranger'], {
    home: await makeHome(t),
    stdin: (await daemon.admin.mintCode({})).code,
  });
  await page.getByRole('button', { name: 'Reject' }).click();
  await page.getByLabel('Reason').fill('not one of ours');
  await page.getByRole('dialog').getByRole('button', { name: 'Reject' }).click();
  await page.getByText('Rejected: not one of ours').waitFor();
  const { error } = (await pairing.ended).lines.at(-1)!;
  assert.equal(error?.code, 'PAIRING_REJECTED');
  assert.match(error!.message, /not one of ours/);
});

test('a changed key is shown with a warning, and its approval takes a second step with both keys in view', async (t) => {
  const { daemon, page, enter } = await startConsole(t);
  const device = await makeDevice({ name: 'greenhouse' });
  await pair(daemon, device);
  const other = await sameIdOtherKey(device.identity);
  const { requestId, words } = await request(daemon, { ...device, identity: other });
  await enter();
  await page.getByText('ANOTHER KEY', { exact: true }).waitFor();
  assert.equal(await page.getByRole('button', { name: 'Approve…', exact: true }).count(), 0);
  await page.getByRole('button', { name: 'Approve another key' }).click();
  const confirm = page.getByRole('button', { name: 'Replace key and approve' });
  assert.equal(await confirm.isDisabled(), true);
  const before = await daemon.admin.getDevice({ id: device.identity.id });
  await page.getByRole('dialog').getByText(before.device!.identityFingerprint).waitFor();
  await page.keyboard.press('Escape');
  assert.equal((await daemon.admin.getPairing({ id: requestId })).state, PairingState.PENDING_APPROVAL);
  await page.getByRole('button', { name: 'Approve another key' }).press('Enter');
  await page.getByRole('checkbox').check();
  await approve(page, words, 'Replace key and approve');
  await page.getByText('Nobody is waiting').waitFor();
  assert.equal((await daemon.admin.getPairing({ id: requestId })).state, PairingState.APPROVED);
});

test('a second profile with the same link gets nothing; a reload of the first keeps its session', async (t) => {
  const { page, enter } = await startConsole(t);
  const url = await enter();
  const second = await openBrowser();
  t.after(() => second.close());
  await second.page.goto(url);
  await second.page.getByText('was used before').waitFor();
  assert.equal(await second.page.getByRole('navigation').count(), 0);
  await page.reload();
  await live(page);
  await page.getByRole('button', { name: 'Log out' }).click();
  await page.getByText('You have logged out').waitFor();
  await page.reload();
  await page.getByText('palyra console', { exact: true }).waitFor();
  assert.equal(await page.getByRole('navigation').count(), 0);
});

test('a session that was left alone ends, and the page says what to do', async (t) => {
  const clock = new HeldClock();
  const { page, enter } = await startConsole(t, { clock });
  await enter();
  clock.advance(15 * minute);
  await page.getByRole('navigation').getByRole('link', { name: 'Authority' }).click();
  await page.getByText('Your session has ended').waitFor();
  await page.getByText('palyra console', { exact: true }).waitFor();
});

test('the page says when the daemon is unreachable', async (t) => {
  const { daemon, page, enter } = await startConsole(t);
  await enter();
  await daemon.stop();
  await page.getByText('The daemon does not answer').waitFor();
});

/** The content policy refused nothing, no other server was asked, and no secret was left behind. */
async function isQuietAndAlone(browser: ConsoleBrowser, { console }: { console: string }): Promise<void> {
  assert.deepEqual(browser.complaints, []);
  for (const url of browser.requested) assert.ok(url.startsWith(`${console}/`) || url === 'about:blank', url);
  for (const url of browser.requested) assert.doesNotMatch(new URL(url).search, /./);
  const kept = await browser.page.evaluate(
    'JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie])',
  );
  assert.equal(kept, '[{},{},""]');
  assert.ok(!browser.page.url().includes('login'));
}

async function readQr(page: Page): Promise<string> {
  const picture = await page.getByRole('img', { name: 'QR code for pairing' }).screenshot();
  const decoder = await page.context().newPage();
  const image = (await decoder.evaluate(`(async () => {
    const bytes = Uint8Array.fromBase64(${JSON.stringify(picture.toString('base64'))});
    const bitmap = await createImageBitmap(new Blob([bytes], { type: 'image/png' }));
    const canvas = new OffscreenCanvas(bitmap.width, bitmap.height).getContext('2d');
    canvas.drawImage(bitmap, 0, 0);
    const { data, width, height } = canvas.getImageData(0, 0, bitmap.width, bitmap.height);
    return { data: new Uint8Array(data.buffer).toBase64(), width, height };
  })()`)) as { data: string; width: number; height: number };
  await decoder.close();
  return decodeQr({ ...image, data: new Uint8Array(Buffer.from(image.data, 'base64')) });
}
