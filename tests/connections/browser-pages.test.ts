// Several pages and workers of one browser share a device: they renew, serve and connect without harming each other.

import assert from 'node:assert/strict';
import test, { type TestContext } from 'node:test';
import type { Page } from 'playwright-core';
import { servePage } from '../testing/browser-page.ts';
import { openBrowser, shareBrowser } from '../testing/console-browser.ts';
import { heldTcpPath } from '../testing/held-path.ts';
import { TestDaemon } from '../testing/running-daemon.ts';
import { until } from '../testing/until.ts';

shareBrowser();

/** What the pages' scripts use; the functions below run there. */
declare const palyra: typeof import('../../packages/browser/src/index.ts') &
  typeof import('../../packages/browser/src/serve.ts') & {
    createClient: typeof import('@connectrpc/connect').createClient;
    runCapability: typeof import('../../packages/agent/src/capability.ts').runCapability;
  };
type DaemonConnection = import('../../packages/browser/src/index.ts').DaemonConnection;
declare let connection: DaemonConnection;
declare let stop: AbortController;
declare let finish: () => void;

async function startPages(t: TestContext) {
  const port = await servePage(t);
  const origin = `http://127.0.0.1:${port}`;
  const daemon = await TestDaemon.start(t, { web: { port: 0, origins: [origin] } });
  const browser = await openBrowser();
  t.after(() => browser.close());
  /** @param hours by which the page's clock is ahead. */
  const open = async (hours = 0): Promise<Page> => {
    const page = await browser.context.newPage();
    await page.goto(`${origin}/?hours=${hours}`);
    await page.getByText('ready').waitFor();
    return page;
  };
  return { daemon, open };
}

/** @returns the id of the device. */
async function pair(
  page: Page,
  daemon: TestDaemon,
  { address = daemon.webAddress, newIdentity = false } = {},
): Promise<string> {
  const { code } = await daemon.admin.mintCode({ qr: true, autoApprove: true });
  return page.evaluate(
    async (given) => {
      const device = await palyra.BrowserDevice.open();
      const { deviceId } = await device.pair({ ...given, name: 'Chromium', onWords: () => {} });
      device.close();
      return deviceId;
    },
    { address, code, newIdentity },
  );
}

/** Connects, and keeps the connection in the page. */
const connect = (page: Page, root?: string) =>
  page.evaluate(async (root) => {
    const device = await palyra.BrowserDevice.open();
    connection = await device.connect(root);
  }, root);

const serialOf = (page: Page) =>
  page.evaluate(async () => {
    const node = palyra.createClient(palyra.NodeService, connection.transport);
    return (await node.status({})).serial;
  });

/** Serves the capability `wait`, which ends when the page calls `finish`. The text "connected" says so. */
const serve = (page: Page) =>
  page.evaluate(async () => {
    const device = await palyra.BrowserDevice.open();
    stop = new AbortController();
    const wait = async () => {
      document.body.append('running');
      await new Promise<void>((resolve) => {
        finish = resolve;
      });
      return new TextEncoder().encode('"done"');
    };
    const onState = ({ state }: { state: string }) => document.body.append(` ${state}`);
    void palyra
      .serveDaemon(device, { capabilities: new Map([['wait', wait]]), signal: stop.signal, onState })
      .then(() => document.body.append(' ended'));
  });
declare const document: { body: { append(text: string): void } };

const certificates = async (daemon: TestDaemon, id: string) =>
  (await daemon.admin.getDevice({ id })).certificates;

test('a result that was ready while the connection was cut goes over the next one', async (t) => {
  const { daemon, open } = await startPages(t);
  const path = await heldTcpPath(t, new URL(daemon.webAddress).host);
  const page = await open();
  const id = await pair(page, daemon, { address: `ws://${path.address}` });
  await serve(page);
  await page.getByText('connected').waitFor();
  const call = daemon.admin.executeCapability({
    deviceId: id,
    capability: 'wait',
    input: new TextEncoder().encode('null'),
    timeoutMs: 30_000,
  });
  await page.getByText('running').waitFor();
  path.cut();
  await page.getByText('disconnected').waitFor();
  await page.evaluate(() => finish());
  const { output, reconnects } = await call;
  assert.deepEqual([new TextDecoder().decode(output), reconnects], ['"done"', 1]);
});

test('of two pages one serves, and the other takes over when the first one stops', async (t) => {
  const { daemon, open } = await startPages(t);
  const [first, second] = [await open(), await open()];
  await pair(first, daemon);
  await serve(first);
  await first.getByText('connected').waitFor();
  await serve(second);
  await first.evaluate(() => stop.abort());
  await first.getByText('ended').waitFor();
  await second.getByText('connected').waitFor();
  // A page that is closed without a word gives its turn back as well.
  const third = await open();
  await serve(third);
  await second.close();
  await third.getByText('connected').waitFor();
  assert.doesNotMatch(await third.locator('body').innerText(), /disconnected/);
});

test('a page that waits for its turn to serve can stop waiting', async (t) => {
  const { daemon, open } = await startPages(t);
  const [first, second] = [await open(), await open()];
  await pair(first, daemon);
  await serve(first);
  await first.getByText('connected').waitFor();
  await serve(second);
  await second.evaluate(() => stop.abort());
  await second.getByText('ended').waitFor();
});

test('two pages that find the certificate due at one time get one new certificate', async (t) => {
  const { daemon, open } = await startPages(t);
  const id = await pair(await open(), daemon);
  const pages = [await open(21), await open(21), await open(21)];
  const [{ serial: before } = { serial: '' }] = await certificates(daemon, id);
  await Promise.all(pages.map((page) => connect(page)));
  for (const page of pages) {
    // A call that is under way when another page renews may fail.
    const renewed = await until('the new certificate', async () => {
      const serial = await serialOf(page).catch(() => before);
      return serial !== before && serial;
    });
    assert.ok(renewed);
  }
  assert.equal((await certificates(daemon, id)).length, 2);
  assert.equal((await daemon.admin.getDevice({ id })).device?.cloneSeenMs, 0n);
});

test('a page calls on when another page has renewed the certificate', async (t) => {
  const { daemon, open } = await startPages(t);
  const page = await open();
  const id = await pair(page, daemon);
  await connect(page);
  const before = await serialOf(page);
  const other = await open(21);
  await connect(other);
  await until('a renewal', async () => (await certificates(daemon, id)).length === 2);
  const renewed = await until('the other page uses it', async () => {
    const serial = await serialOf(other);
    return serial !== before && serial;
  });
  // A call that is under way may fail, like one on a connection that is lost; the next one does not.
  const now = await until('this page uses it', async () => {
    const serial = await serialOf(page).catch(() => before);
    return serial !== before && serial;
  });
  assert.equal(now, renewed);
  const { device } = await daemon.admin.getDevice({ id });
  assert.equal(device?.cloneSeenMs, 0n);
});

test('a page that only calls leaves the capabilities of the page that serves', async (t) => {
  const { daemon, open } = await startPages(t);
  const [serving, calling] = [await open(), await open()];
  const id = await pair(serving, daemon);
  await serve(serving);
  await serving.getByText('connected').waitFor();
  await connect(calling);
  await serialOf(calling);
  const { device } = await daemon.admin.getDevice({ id });
  assert.deepEqual(device?.capabilities, ['wait']);
});

test('a worker pairs and connects', async (t) => {
  const { daemon, open } = await startPages(t);
  const page = await open();
  const { code } = await daemon.admin.mintCode({ qr: true, autoApprove: true });
  const work = async (given: { address: string; code: string }) => {
    const device = await palyra.BrowserDevice.open();
    await device.pair({ ...given, name: 'a worker', onWords: () => {} });
    const { transport } = await device.connect();
    return (await palyra.createClient(palyra.NodeService, transport).status({})).deviceName;
  };
  const answer = await page.evaluate(
    async ({ work, given }) => {
      type Port = { onmessage: (event: { data: object }) => void; postMessage(message: object): void };
      const { Worker } = globalThis as unknown as { Worker: new (url: string, options: object) => Port };
      const worker = new Worker('/worker.js', { type: 'module' });
      return new Promise<object>((resolve) => {
        worker.onmessage = ({ data }) => resolve(data);
        worker.postMessage({ work, given });
      });
    },
    { work: String(work), given: { address: daemon.webAddress, code } },
  );
  assert.deepEqual(answer, { result: 'a worker' });
});

test('a new identity for one daemon changes nothing for another one', async (t) => {
  const { daemon, open } = await startPages(t);
  const page = await open();
  const other = await TestDaemon.start(t, { web: { port: 0, origins: [new URL(page.url()).origin] } });
  const id = await pair(page, daemon);
  assert.equal(await pair(page, other), id);
  await daemon.admin.revokeDevice({ id, reason: 'lost' });

  const newId = await pair(page, daemon, { newIdentity: true });
  assert.notEqual(newId, id);
  const known = await page.evaluate(async () => {
    const device = await palyra.BrowserDevice.open();
    const daemons = await device.daemons();
    device.close();
    return daemons.map(({ root, deviceId, state }) => ({ root, deviceId, state }));
  });
  assert.equal(known.length, 2);
  for (const { root, deviceId, state } of known) {
    assert.equal(state, 'paired');
    const late = await open(21);
    await connect(late, root);
    const at = deviceId === id ? other : daemon;
    assert.ok(deviceId === id || deviceId === newId);
    // Renewals are signed by the identity that the daemon knows.
    await until('a renewal', async () => (await certificates(at, deviceId)).length === 2);
    await serialOf(late);
    await late.close();
  }
});

test('a capability that rejects when the time is over has timed out, and not failed', async (t) => {
  const { open } = await startPages(t);
  const page = await open();
  // A page, other than Node, runs the reactions of promises between two listeners of one event.
  const code = await page.evaluate(async () => {
    const rejects: import('../../packages/agent/src/capability.ts').Capability = ({ signal }) =>
      new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => reject(new Error('it stopped')));
      });
    const known = new Map([['it', rejects]]);
    const { signal } = new AbortController();
    const call = palyra.runCapability(known, 'it', new Uint8Array(), 1, signal, new Set());
    return call.catch((error) => error.code);
  });
  assert.equal(code, 'CAPABILITY_TIMEOUT');
});
