// The life of a browser with the extension, in Debian's Chromium, against a daemon in a process of its own: with nothing in
// between, and through a real nginx that ends TLS with a certificate of its own (Debian package nginx-light).

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import test, { type TestContext } from 'node:test';
import type { Page } from 'playwright-core';
import { DaemonProcess } from '../testing/daemon-process.ts';
import { ExtensionBrowser, extensionOrigin, pairIn, switchOn } from '../testing/extension-browser.ts';
import { freePort } from '../testing/free-port.ts';
import { answer, configure, failure, palyra } from '../testing/palyra-process.ts';
import { variants } from '../testing/soak.ts';
import { temporaryFolder } from '../testing/temporary-folder.ts';
import { until } from '../testing/until.ts';
import { missing, startNginx } from '../testing/web-server.ts';

const ways = {
  'with nothing in between': async (_t: TestContext, webPort: number) => `127.0.0.1:${webPort}`,

  async 'through nginx'(t: TestContext, webPort: number) {
    const folder = temporaryFolder();
    const port = await freePort();
    const made = spawnSync(
      'openssl',
      `req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=home.example -days 1 -keyout key.pem -out cert.pem`.split(
        ' ',
      ),
      { cwd: folder },
    );
    assert.equal(made.status, 0, String(made.stderr));
    await startNginx(
      t,
      folder,
      port,
      `ssl_certificate cert.pem; ssl_certificate_key key.pem;
       location / {
         proxy_pass http://127.0.0.1:${webPort};
         proxy_http_version 1.1;
         proxy_set_header Upgrade $http_upgrade;
         proxy_set_header Connection upgrade;
         proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
       }`,
    );
    return `wss://127.0.0.1:${port}`;
  },
};

const withoutNginx = missing('nginx', 'nginx-light');
const tested = withoutNginx ? 'with nothing in between' : 'through nginx';

for (const [name, way] of variants(Object.entries(ways), ([each]) => each === tested)) {
  const skip = name === 'through nginx' && withoutNginx;
  test(`a browser lives as a device, ${name}`, { skip }, async (t) => {
    const home = temporaryFolder();
    const webPort = await freePort();
    const here = { host: '127.0.0.1', port: await freePort() };
    await configure(home, {
      node: here,
      web: { port: webPort, origins: [extensionOrigin] },
      limits: { deviceCertificateLifeMs: 60_000 },
    });
    const daemon = await DaemonProcess.start(t, { home });
    const address = await way(t, webPort);
    const profile = temporaryFolder();
    const browser = await ExtensionBrowser.start(t, profile);

    const popup = await browser.open('popup');
    const { code } = await answer(['pairing', 'code'], { home });
    await pairIn(popup, address, code);
    const words = await popup.getByTestId('words').innerText();
    const { pairings } = await answer(['pairing', 'list'], { home });
    const { device, id: pairingId } = pairings[0];
    assert.deepEqual([device.words, device.kind, device.source], [words, 'browser', '127.0.0.1']);
    await answer(['pairing', 'approve', pairingId], { home });
    await popup.getByText('Connected', { exact: true }).waitFor();
    await popup.getByRole('heading', { name: daemon.trustDomain }).waitFor();
    const id: string = device.id;
    const certificates = async (): Promise<readonly { readonly state: string }[]> =>
      (await answer(['devices', 'show', id], { home })).certificates;
    assert.equal((await certificates()).length, 1);

    // Nothing is on before the person says so.
    const open = (url: string) =>
      palyra(['node', 'exec', id, 'tabs.open', '--input', JSON.stringify({ url })], { home });
    await failure(open('https://home.invalid/'), { code: 'CAPABILITY_UNKNOWN', exitCode: 4 });
    const options = await browser.open('options');
    await switchOn(options, 'Open a tab');
    await runs(open, browser, 'the first');
    const { devices } = await answer(['devices', 'list'], { home });
    assert.deepEqual(
      [devices[0].transport, devices[0].capabilities, devices[0].kind],
      ['websocket', ['tabs.open'], 'browser'],
    );

    // No page of the extension is open when the browser ends the worker: an alarm starts it again.
    await options.close();
    await popup.close();
    await browser.killWorker();
    await connected(home, id);
    await runs(open, browser, 'after the worker was killed');

    await until('a new certificate', async () => {
      const states = (await certificates()).map(({ state }) => state);
      return states.includes('active') && states.includes('superseded');
    });
    await connected(home, id);

    await browser.close();
    const again = await ExtensionBrowser.start(t, profile);
    await connected(home, id);
    await runs(open, again, 'after the browser was started again');

    await daemon.kill();
    const shown = await again.open('popup');
    await shown.getByText('Not reachable, tries again').waitFor();
    const back = await DaemonProcess.start(t, { home });
    await shown.getByText('Connected', { exact: true }).waitFor();
    await runs(open, again, 'after the daemon was started again');

    await answer(['devices', 'revoke', id, '--yes'], { home });
    await shown.getByText('DEVICE_REVOKED').waitFor();
    await shown.getByText(/revoked by the operator/).waitFor();
    await failure(open('https://home.invalid/'), { code: 'DEVICE_NOT_CONNECTED', exitCode: 7 });

    await pairAgain(shown, home);
    await shown.getByText('Connected', { exact: true }).waitFor();

    const all = [...browser.requested, ...again.requested];
    const foreign = all.filter(
      (url) => !url.startsWith(extensionOrigin) && !/^(?:data|blob):|home\.invalid/.test(url),
    );
    assert.deepEqual(foreign, []);
    assert.deepEqual(
      [...browser.complaints, ...again.complaints].filter(
        (each) => !/ERR_CONNECTION_REFUSED|home\.invalid|50[24]/.test(each),
      ),
      [],
    );
    await again.close();
    await back.stop();
  });
}

async function connected(home: string, id: string): Promise<void> {
  await until('the browser is connected', async () => {
    const { devices } = await answer(['devices', 'list'], { home });
    return devices.some((each: { id: string; transport: string | null }) => each.id === id && each.transport);
  });
}

async function runs(
  open: (url: string) => ReturnType<typeof palyra>,
  browser: ExtensionBrowser,
  which: string,
): Promise<void> {
  const url = `https://home.invalid/${encodeURIComponent(which)}`;
  const tab = browser.context.waitForEvent('page');
  // The daemon may not know yet that the channel before is dead. A call over that one is lost when the browser is back, and
  // between the two there is no channel.
  await until('the capability runs', async () => {
    const { exitCode, stdout } = await open(url);
    if (exitCode !== 0) assert.match(stdout, /"(CAPABILITY_LOST|DEVICE_NOT_CONNECTED)"/);
    return exitCode === 0;
  });
  assert.ok(await tab);
}

/** After a revocation the person pairs as a new device, on the card of the daemon. */
async function pairAgain(popup: Page, home: string): Promise<void> {
  const { code } = await answer(['pairing', 'code'], { home });
  await popup.getByText('Pair again as a new device').click();
  await popup.getByLabel('Code that the daemon shows').fill(code);
  await popup.getByRole('button', { name: 'Pair', exact: true }).click();
  const words = await popup.getByTestId('words').innerText();
  const { pairings } = await answer(['pairing', 'list'], { home });
  const request = pairings.find(({ state }: { state: string }) => state === 'pending_approval');
  assert.equal(request.device.words, words);
  await answer(['pairing', 'approve', request.id], { home });
}
