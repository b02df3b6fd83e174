// What pages of other sites get from a daemon, and from the extension: nothing. In Debian's Chromium, where the extension is
// loaded and connected, and against a daemon that serves it.

import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import test, { type TestContext } from 'node:test';
import type { Page } from 'playwright-core';
import { ExtensionBrowser, extensionOrigin, pairIn } from '../testing/extension-browser.ts';
import { TestDaemon } from '../testing/running-daemon.ts';

const worker = `
self.addEventListener('install', (event) => event.waitUntil(self.skipWaiting()));
self.addEventListener('activate', (event) => event.waitUntil(self.clients.claim()));
self.addEventListener('message', async ({ data, ports: [port] }) => {
  const { work, given } = data;
  port.postMessage(await (0, eval)('(' + work + ')')(given).catch(String));
});
self.addEventListener('fetch', () => {});
`;

/** A site of somebody else. `/frame?URL` shows a page in a frame. */
async function serveSite(t: TestContext): Promise<string> {
  const server = createServer(({ url = '' }, response) => {
    const isWorker = url === '/worker.js';
    response.setHeader('content-type', isWorker ? 'text/javascript' : 'text/html');
    response.end(isWorker ? worker : '<!doctype html><title>elsewhere</title><p>here');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const address = server.address();
  assert.ok(address !== null && typeof address !== 'string');
  return `http://127.0.0.1:${address.port}`;
}

/** How a WebSocket ends that a script opens; runs in a page or a worker. */
const tryChannel = async ({ address }: { address: string }) => {
  const opened = (subprotocol: string) =>
    new Promise<string>((resolve) => {
      const socket = new WebSocket(address, subprotocol);
      socket.onopen = () => resolve('open');
      socket.onclose = ({ code, reason }) => resolve(`${code} ${reason}`);
    });
  return [await opened('palyra-channel-v1.node'), await opened('palyra-channel-v1.pair')];
};
const nothing = ['1006 ', '1006 '];

/** What a script learns by HTTP: no answer can be read. Runs in a page or a worker. */
const tryHttp = async ({ address }: { address: string }) => {
  const url = address.replace(/^ws/, 'http');
  const tries = [
    fetch(url),
    fetch(url, { method: 'POST', body: 'a=b' }),
    fetch(url, { method: 'POST', headers: { 'content-type': 'application/grpc-web' }, body: 'x' }),
    fetch(new URL('/palyra.pairing.v1.PairingService/Open', url), { method: 'POST', body: '{}' }),
  ];
  const outcomes = tries.map((each) =>
    each.then(
      ({ status }) => `${status}`,
      ({ name }) => name,
    ),
  );
  return Promise.all(outcomes);
};
const unread = ['TypeError', 'TypeError', 'TypeError', 'TypeError'];

async function start(t: TestContext) {
  const daemon = await TestDaemon.start(t, { web: { port: 0, origins: [extensionOrigin] } });
  const browser = await ExtensionBrowser.start(t);
  const popup = await browser.open('popup');
  const { code } = await daemon.admin.mintCode({ qr: true, autoApprove: true });
  await pairIn(popup, daemon.webAddress, code);
  await popup.getByText('Connected', { exact: true }).waitFor();
  const site = await serveSite(t);
  const page = await browser.context.newPage();
  await page.goto(site);
  return { daemon, browser, popup, site, page, given: { address: daemon.webAddress } };
}

/** The daemon knows the extension's device, one code that was used, and nothing else. */
async function assertUntouched(daemon: TestDaemon): Promise<void> {
  assert.equal((await daemon.admin.listDevices({})).devices.length, 1);
  assert.equal((await daemon.admin.listPairings({})).pairings.length, 1);
}

test('a page of another site, its frames, its workers and its forms get nothing from the daemon', async (t) => {
  const { daemon, browser, site, page, given } = await start(t);
  assert.deepEqual(await page.evaluate(tryChannel, given), nothing);
  // The same page opens channels where its origin is listed, so nothing but that stops it.
  const friendly = await TestDaemon.start(t, { web: { port: 0, origins: [site] } });
  assert.deepEqual(await page.evaluate(tryChannel, { address: friendly.webAddress }), ['open', 'open']);
  assert.deepEqual(await page.evaluate(tryHttp, given), unread);

  // A frame of its own, and one without an origin.
  for (const attributes of ['', 'sandbox="allow-scripts"']) {
    await page.setContent(`<iframe ${attributes} src="${site}/frame"></iframe>`);
    const frame = await page.waitForSelector('iframe').then((each) => each.contentFrame());
    await frame!.waitForLoadState();
    assert.deepEqual(await frame!.evaluate(tryChannel, given), nothing, attributes);
    assert.deepEqual(await frame!.evaluate(tryHttp, given), unread, attributes);
  }

  await page.goto(site);
  for (const work of [tryChannel, tryHttp])
    assert.deepEqual(
      await inServiceWorker(page, String(work), given),
      work === tryChannel ? nothing : unread,
    );

  const status = await postForm(page, given.address.replace(/^ws/, 'http'));
  assert.ok(status >= 400, `${status}`);
  await assertUntouched(daemon);
  await browser.close();
});

test('a page of another site reaches no page, no worker and no file of the extension', async (t) => {
  const { daemon, browser, popup, page, site } = await start(t);
  const outcomes = await page.evaluate(async (extension) => {
    const { chrome } = globalThis as unknown as { chrome?: { runtime?: object } };
    const files = ['popup.html', 'options.html', 'worker.js', 'manifest.json', 'icon-128.png'];
    const fetched = await Promise.all(
      files.map((file) =>
        fetch(`${extension}/${file}`).then(
          () => file,
          () => '',
        ),
      ),
    );
    return { hasRuntime: chrome?.runtime !== undefined, fetched: fetched.filter(Boolean) };
  }, extensionOrigin);
  assert.deepEqual([outcomes.hasRuntime, outcomes.fetched], [false, []]);
  await page.setContent(`<iframe src="${extensionOrigin}/popup.html"></iframe>`);
  await page.waitForLoadState();
  const inFrames = page.frames().filter((frame) => frame.url().startsWith(extensionOrigin));
  assert.deepEqual(inFrames, []);

  // Another page's window of the popup, and a message to it.
  await page.goto(site);
  await page.evaluate((extension) => {
    (globalThis as unknown as { open(address: string): void }).open(`${extension}/popup.html`);
  }, extensionOrigin);
  assert.ok(
    browser.context.pages().every((each) => each === popup || !each.url().startsWith(extensionOrigin)),
  );
  await assertUntouched(daemon);
  await browser.close();
});

function inServiceWorker(page: Page, work: string, given: object): Promise<unknown> {
  return page.evaluate(
    async ({ work, given }) => {
      const { serviceWorker } = navigator as unknown as {
        serviceWorker: {
          register(url: string): Promise<unknown>;
          ready: Promise<{ active: { postMessage(message: object, ports: object[]): void } }>;
        };
      };
      await serviceWorker.register('/worker.js');
      const { active } = await serviceWorker.ready;
      const { port1, port2 } = new MessageChannel();
      return new Promise<unknown>((resolve) => {
        port1.onmessage = ({ data }: { data: unknown }) => resolve(data);
        active.postMessage({ work, given }, [port2]);
      });
    },
    { work, given },
  );
}

/** A form needs no permission of its target to be sent. @returns the HTTP status. */
async function postForm(page: Page, url: string): Promise<number> {
  await page.setContent(
    `<form method="post" action="${url}" enctype="text/plain"><input name="a" value="b"><button>send</button></form>`,
  );
  const answered = page.waitForResponse((response) => response.url() === url);
  await page.getByRole('button').click();
  return (await answered).status();
}
