// What an operator can run in a browser: only what its person switched on, with every input checked.

import assert from 'node:assert/strict';
import test, { type TestContext } from 'node:test';
import { fromConnectError } from '@palyra/rpc';
import type { Page } from 'playwright-core';
import {
  ExtensionBrowser,
  extensionOrigin,
  pairIn,
  switchOff,
  switchOn,
} from '../testing/extension-browser.ts';
import { TestDaemon } from '../testing/running-daemon.ts';
import { until } from '../testing/until.ts';

async function start(t: TestContext) {
  const daemon = await TestDaemon.start(t, { web: { port: 0, origins: [extensionOrigin] } });
  const browser = await ExtensionBrowser.start(t);
  const popup = await browser.open('popup');
  const { code } = await daemon.admin.mintCode({ qr: true, autoApprove: true });
  await pairIn(popup, daemon.webAddress, code);
  await popup.getByText('Connected', { exact: true }).waitFor();
  const [device] = (await daemon.admin.listDevices({})).devices;
  const run = async (capability: string, input: unknown = null): Promise<unknown> => {
    const call = { deviceId: device!.id, capability, input: new TextEncoder().encode(JSON.stringify(input)) };
    const { output } = await daemon.admin.executeCapability({ ...call, timeoutMs: 60_000 });
    return JSON.parse(new TextDecoder().decode(output));
  };
  const offered = async () => (await daemon.admin.getDevice({ id: device!.id })).device?.capabilities;
  return { daemon, browser, popup, run, offered };
}

const rejectsWith = (call: Promise<unknown>, code: string, message: RegExp) =>
  assert.rejects(call, (cause) => {
    const error = fromConnectError(cause);
    assert.equal(error.code, code, error.message);
    assert.match(error.message, message);
    return true;
  });

test('each capability is off until the person switches it on, and off again at once', async (t) => {
  const { browser, run, offered } = await start(t);
  assert.deepEqual(await offered(), []);
  const all = ['tabs.open', 'tabs.list', 'notify', 'clipboard.read'];
  for (const each of all) await rejectsWith(run(each), 'CAPABILITY_UNKNOWN', /has no capability/);
  const options = await browser.open('options');
  await switchOn(options, 'List tabs');
  await until('the daemon knows it', async () => (await offered())?.join() === 'tabs.list');
  const tabs = (await run('tabs.list')) as { url: string; title: string }[];
  assert.ok(tabs.some(({ url, title }) => url === `${extensionOrigin}/options.html` && title === 'Palyra'));
  await switchOff(options, 'List tabs');
  await rejectsWith(run('tabs.list'), 'CAPABILITY_UNKNOWN', /has no capability/);
  await until('the daemon knows it', async () => (await offered())?.length === 0);
  await browser.close();
});

test('a notice is shown; a tab opens for addresses of the web only', async (t) => {
  const { browser, run } = await start(t);
  const options = await browser.open('options');
  await switchOn(options, 'Show a notice');
  await switchOn(options, 'Open a tab');
  await options.close();
  assert.deepEqual(await run('notify', { title: 'Backup', text: 'The disk is full.' }), { shown: true });
  assert.equal((await browser.notices()).length, 1);
  const bad: readonly (readonly [capability: string, input: unknown, why: RegExp])[] = [
    ['notify', null, /needs a text "title"/],
    ['notify', 7, /needs a text "title"/],
    ['notify', [], /needs a text "title"/],
    ['notify', { title: 'a' }, /needs a text "text"/],
    ['notify', { title: '', text: 'b' }, /needs a text "title"/],
    ['notify', { title: 'a', text: 'b'.repeat(1_001) }, /at most 1000/],
    ['tabs.open', { url: 7 }, /needs a text "url"/],
    ['tabs.open', { url: 'home.example' }, /not the address of a web page/],
    ['tabs.open', { url: 'file:///etc/passwd' }, /not the address of a web page/],
    ['tabs.open', { url: 'javascript:alert(1)' }, /not the address of a web page/],
    ['tabs.open', { url: 'chrome://settings' }, /not the address of a web page/],
    ['tabs.open', { url: `${extensionOrigin}/options.html` }, /not the address of a web page/],
    ['tabs.open', { url: `data:text/html,x` }, /not the address of a web page/],
    ['tabs.open', { url: `https://home.invalid/${'x'.repeat(8_192)}` }, /at most 8192/],
  ];
  const before = browser.context.pages().length;
  for (const [capability, input, why] of bad)
    await rejectsWith(run(capability, input), 'CAPABILITY_FAILED', why);
  assert.equal(browser.context.pages().length, before);
  await browser.close();
});

test('the clipboard is read by a click of the person, each time', async (t) => {
  const { daemon, browser, popup, run } = await start(t);
  const options = await browser.open('options');
  await switchOn(options, 'Ask for the clipboard');
  await options.close();
  await popup.bringToFront();
  await copy(popup, 'a text to share');

  const [first, second] = [run('clipboard.read'), run('clipboard.read')];
  const asks = popup.getByRole('region', { name: 'Clipboard' });
  await until('both calls wait', async () => (await asks.count()) === 2);
  await asks.first().getByRole('button', { name: 'Send it' }).click();
  assert.deepEqual(await Promise.race([first, second]), { text: 'a text to share' });
  await until('one call waits', async () => (await asks.count()) === 1);
  await asks.first().getByRole('button', { name: 'Refuse' }).click();
  const outcomes = await Promise.allSettled([first, second]);
  const refused = outcomes.find(({ status }) => status === 'rejected') as PromiseRejectedResult;
  assert.match(fromConnectError(refused.reason).message, /the person refused/);

  // A call that has ended asks for nothing any more.
  const [device] = (await daemon.admin.listDevices({})).devices;
  const gone = daemon.admin.executeCapability({
    deviceId: device!.id,
    capability: 'clipboard.read',
    timeoutMs: 1_000,
  });
  await asks.waitFor();
  await rejectsWith(gone, 'CAPABILITY_TIMEOUT', /did not (?:end|answer)/);
  await asks.waitFor({ state: 'detached' });

  const waiting = Array.from({ length: 4 }, () => run('clipboard.read'));
  await until('four calls wait', async () => (await asks.count()) === 4);
  await rejectsWith(run('clipboard.read'), 'CAPABILITY_FAILED', /too many calls/);
  // The callers are told when the worker that kept their calls is gone.
  await browser.killWorker();
  for (const each of waiting) await rejectsWith(each, 'CAPABILITY_LOST', /restarted during the call/);
  await browser.close();
});

const copy = (page: Page, text: string) =>
  page.evaluate((text) => {
    const { clipboard } = navigator as unknown as { clipboard: { writeText(text: string): Promise<void> } };
    return clipboard.writeText(text);
  }, text);
