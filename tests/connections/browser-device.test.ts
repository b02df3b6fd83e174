// A real browser as a device: Debian's chromium opens a page with the bundle of @palyra/browser.

import assert from 'node:assert/strict';
import test from 'node:test';
import { gzipSync } from 'node:zlib';
import { bundled, servePage } from '../testing/browser-page.ts';
import { openBrowser, shareBrowser } from '../testing/console-browser.ts';
import { TestDaemon } from '../testing/running-daemon.ts';
import { until } from '../testing/until.ts';

shareBrowser();

/** The names that the page's scripts use. The functions below run in the page. */
declare const palyra: typeof import('../../packages/browser/src/index.ts') & {
  createClient: typeof import('@connectrpc/connect').createClient;
};
declare const document: { body: { append(text: string): void } };

const largestBytes = 60 * 1024;

test('the gzipped bundle has at most 60 KB without protobuf and generated code', async (t) => {
  const protobuf = ['@bufbuild/protobuf', '@bufbuild/protobuf/*', '*_pb.js'];
  const sizeOf = async (external: readonly string[]) =>
    gzipSync(await bundled(`export * from './index.ts';`, external)).length;
  const alone = await sizeOf(protobuf);
  t.diagnostic(`${alone} bytes, and ${await sizeOf([])} with protobuf`);
  assert.ok(alone <= largestBytes, `${alone} bytes`);
});

test('a page pairs with a typed code, calls, renews, and learns that it was revoked', async (t) => {
  const port = await servePage(t);
  const origin = `http://127.0.0.1:${port}`;
  const daemon = await TestDaemon.start(t, { web: { port: 0, origins: [origin] } });
  const address = daemon.webAddress;
  const browser = await openBrowser();
  t.after(() => browser.close());
  const { page } = browser;
  const open = async (hours = 0) => {
    await page.goto(`${origin}/?hours=${hours}`);
    await page.getByText('ready').waitFor();
  };
  const call = () =>
    page.evaluate(async () => {
      const device = await palyra.BrowserDevice.open();
      const connection = await device.connect();
      const status = await palyra.createClient(palyra.NodeService, connection.transport).status({});
      connection.close();
      device.close();
      return { isNew: device.isNew, id: status.deviceId, name: status.deviceName, serial: status.serial };
    });

  await open();
  const { code } = await daemon.admin.mintCode({});
  // Waits only for the words, because the page is reloaded before the operator decides.
  const shown = await page.evaluate(
    async ({ address, code }) => {
      const device = await palyra.BrowserDevice.open();
      const words = await new Promise<string>((resolve, reject) => {
        device.pair({ address, code, name: 'Chromium', onWords: resolve }).catch(reject);
      });
      return { words, id: device.id, isNew: device.isNew, daemons: await device.daemons() };
    },
    { address, code },
  );
  assert.equal(shown.isNew, true);
  assert.deepEqual(
    shown.daemons.map(({ state, words }) => ({ state, words })),
    [{ state: 'pending', words: shown.words }],
  );
  const { pairings } = await daemon.admin.listPairings({});
  assert.equal(pairings[0]!.device!.words, shown.words);

  await open();
  const resumed = page.evaluate(async () => {
    const device = await palyra.BrowserDevice.open();
    const [{ root } = { root: '' }] = await device.daemons();
    const paired = await device.resume(root, { onWords: (words) => document.body.append(words) });
    return { paired, isNew: device.isNew };
  });
  await page.getByText(shown.words).waitFor();
  await daemon.admin.approvePairing({ id: pairings[0]!.id });
  assert.equal((await resumed).paired.state, 'paired');
  assert.equal((await resumed).isNew, false);

  const first = await call();
  assert.deepEqual([first.id, first.name], [shown.id, 'Chromium']);
  await open();
  assert.deepEqual(await call(), first);

  // The keys can be used here, but not exported.
  const keys = await page.evaluate(async () => {
    type Asked<T> = { result: T; onsuccess: () => void; onerror: () => void };
    interface Database {
      transaction(name: string): {
        objectStore(name: string): { getAll(): Asked<{ privateKey: CryptoKey }[]> };
      };
      close(): void;
    }
    const { indexedDB } = globalThis as unknown as { indexedDB: { open(name: string): Asked<Database> } };
    const asked = <T>(request: Asked<T>) =>
      new Promise<T>((resolve, reject) => {
        request.onsuccess = () => resolve(request.result);
        request.onerror = () => reject(new Error('IndexedDB'));
      });
    const database = await asked(indexedDB.open('palyra'));
    const kept = await asked(database.transaction('keys').objectStore('keys').getAll());
    database.close();
    const exported = kept.map(({ privateKey }) =>
      crypto.subtle.exportKey('pkcs8', privateKey).then(
        () => 'exported',
        (error: Error) => error.name,
      ),
    );
    const algorithms = kept.map(({ privateKey }) => privateKey.algorithm.name).sort();
    return { algorithms, refusals: await Promise.all(exported) };
  });
  assert.deepEqual(keys.algorithms, ['ECDSA', 'Ed25519']);
  assert.deepEqual(keys.refusals, ['InvalidAccessError', 'InvalidAccessError']);

  // With the clock ahead, the certificate is due for renewal, at the latest at 5/6 of its 24 hours.
  await open(21);
  const renewed = await page.evaluate(async () => {
    const device = await palyra.BrowserDevice.open();
    const states: string[] = [];
    const { promise, resolve } = Promise.withResolvers<void>();
    const connection = await device.connect(undefined, ({ state, ...more }) => {
      states.push(JSON.stringify({ state, ...more }));
      if (state === 'renewed' || state === 'renewal_failed') resolve();
    });
    await promise;
    const status = await palyra.createClient(palyra.NodeService, connection.transport).status({});
    connection.close();
    device.close();
    return { states, serial: status.serial };
  });
  assert.notEqual(renewed.serial, first.serial, renewed.states.join());

  await open();
  const told = page.evaluate(async () => {
    const device = await palyra.BrowserDevice.open();
    return new Promise<string | undefined>((resolve, reject) => {
      const onState = (it: import('../../packages/browser/src/index.ts').ConnectionState) => {
        if (it.state === 'connected') document.body.append('connected');
        if (it.state === 'disconnected') resolve(it.error?.code);
      };
      device.connect(undefined, onState).catch(reject);
    });
  });
  await page.getByText('connected').waitFor();
  await daemon.admin.revokeDevice({ id: shown.id, reason: 'lost' });
  assert.equal(await told, 'DEVICE_REVOKED');
  const after = await page.evaluate(async () => {
    const device = await palyra.BrowserDevice.open();
    return device.connect().then(
      () => 'connected',
      (error) => [error instanceof palyra.IdentityError, error.code].join(),
    );
  });
  assert.equal(after, 'true,DEVICE_REVOKED');
});

test('a page of another origin gets nothing', async (t) => {
  const port = await servePage(t);
  const daemon = await TestDaemon.start(t, { web: { port: 0, origins: [`http://127.0.0.1:${port}`] } });
  const browser = await openBrowser();
  t.after(() => browser.close());
  await browser.page.goto(`http://localhost:${port}/`);
  await browser.page.getByText('ready').waitFor();
  const { code } = await daemon.admin.mintCode({});
  const refused = await browser.page.evaluate(
    async ({ address, code }) => {
      const device = await palyra.BrowserDevice.open();
      const pairing = device.pair({ address, code, name: 'other', onWords: () => {} });
      const error = await pairing.then(
        () => undefined,
        (cause) => cause,
      );
      return { code: error?.code, message: error?.message, daemons: await device.daemons() };
    },
    { address: daemon.webAddress, code },
  );
  assert.equal(refused.code, 'UNREACHABLE');
  assert.match(refused.message, new RegExp(`http://localhost:${port}`));
  assert.deepEqual(refused.daemons, []);
  const [pairing] = (await daemon.admin.listPairings({})).pairings;
  assert.deepEqual([pairing?.device, pairing?.guessesLeft], [undefined, 3]);
});

test('a cleared profile is reported as a new device, and a browser without X25519 gets an error', async (t) => {
  const port = await servePage(t);
  const browser = await openBrowser();
  t.after(() => browser.close());
  const { page } = browser;
  await page.goto(`http://127.0.0.1:${port}/`);
  await page.getByText('ready').waitFor();
  const open = () =>
    page.evaluate(async () => {
      const device = await palyra.BrowserDevice.open();
      const code = await device.connect().catch((error) => error.code);
      device.close();
      return { id: device.id, isNew: device.isNew, code };
    });
  const first = await open();
  assert.deepEqual([first.isNew, first.code], [true, 'NOT_PAIRED']);
  assert.deepEqual(await open(), { ...first, isNew: false });
  await page.evaluate(() => {
    (globalThis as unknown as { indexedDB: { deleteDatabase(name: string): void } }).indexedDB.deleteDatabase(
      'palyra',
    );
  });
  const second = await until('a new device', async () => {
    const found = await open();
    return found.id !== first.id && found;
  });
  assert.equal(second.isNew, true);

  const missing = await page.evaluate(async () => {
    const { subtle } = crypto as unknown as { subtle: { generateKey: (...given: unknown[]) => unknown } };
    const generate = subtle.generateKey.bind(subtle);
    subtle.generateKey = (...given) =>
      given[0] === 'X25519' ? Promise.reject(new Error('NotSupportedError')) : generate(...given);
    return palyra.BrowserDevice.open().then(
      () => undefined,
      ({ code, message }) => ({ code, message }),
    );
  });
  assert.equal(missing?.code, 'VERSION_UNSUPPORTED');
  assert.match(missing!.message, /no X25519/);
});

test('a page pairs with two daemons by palyra: URIs, and recovers after its certificate was revoked', async (t) => {
  const port = await servePage(t);
  const origin = `http://127.0.0.1:${port}`;
  const web = { port: 0, origins: [origin] };
  const daemons = [await TestDaemon.start(t, { web }), await TestDaemon.start(t, { web })] as const;
  const browser = await openBrowser();
  t.after(() => browser.close());
  const { page } = browser;
  await page.goto(origin);
  await page.getByText('ready').waitFor();
  for (const daemon of daemons) {
    const { code } = await daemon.admin.mintCode({ qr: true, autoApprove: true });
    const given = { address: daemon.webAddress, code };
    await page.evaluate(async ({ address, code }) => {
      const device = await palyra.BrowserDevice.open();
      await device.pair({ address, code, name: 'Chromium', onWords: () => {} });
      device.close();
    }, given);
  }
  const connect = (at: number) =>
    page.evaluate(async (at) => {
      const device = await palyra.BrowserDevice.open();
      const roots = (await device.daemons()).map(({ root }) => root);
      try {
        const connection = await device.connect(roots[at]);
        const status = await palyra.createClient(palyra.NodeService, connection.transport).status({});
        connection.close();
        return { daemon: status.daemonId, serial: status.serial };
      } catch (error) {
        return { code: (error as { code: string }).code };
      } finally {
        device.close();
      }
    }, at);
  const [one, other] = [await connect(0), await connect(1)];
  assert.ok(one.daemon && other.daemon && one.daemon !== other.daemon);
  assert.deepEqual(await connect(2), { code: 'NOT_PAIRED' });
  for (const { admin } of daemons) {
    const { devices } = await admin.listDevices({});
    const serial = [one, other].map((each) => each.serial!);
    for (const each of serial)
      await admin.revokeCertificate({ serial: each, reason: 'copied' }).catch(() => {});
    assert.equal(devices.length, 1);
    const waits = [await connect(0), await connect(1)];
    assert.ok(
      waits.some(({ code }) => code === 'RECOVERY_NEEDS_APPROVAL'),
      JSON.stringify(waits),
    );
    await admin.releaseDevice({ id: devices[0]!.id });
    const again = [await connect(0), await connect(1)];
    assert.ok(
      again.every(({ serial: now }) => now),
      JSON.stringify(again),
    );
  }
});
