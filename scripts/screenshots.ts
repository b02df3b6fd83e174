// `npm run screenshots [FOLDER]`: takes every page of the console, light and dark, wide and phone, from a daemon with a
// few devices, and the extension in all its states. Without a folder, it keeps only those that the documents show.

import { mkdir } from 'node:fs/promises';
import process from 'node:process';
import type { TestContext } from 'node:test';
import { DeviceIdentity, requestPairing } from '@palyra/identity/device';
import { parsePairingCode } from '@palyra/identity/pairing';
import { nodeCrypto, systemClock } from '@palyra/identity/values';
import type { Page } from 'playwright-core';
import { openBrowser } from '../tests/testing/console-browser.ts';
import { TestDaemon } from '../tests/testing/running-daemon.ts';
import { makeDevice, pair, request, sameIdOtherKey } from '../tests/testing/sample-device.ts';
import { takeExtension } from './extension-screenshots.ts';

const documented = [
  'requests-light-wide',
  'requests-dark-phone',
  'pair-dark-wide',
  'devices-light-wide',
  'extension-waiting-light',
  'extension-connected-dark',
  'extension-request-light',
];
const given = process.argv[2];
const folder = given ?? 'docs/screenshots';

const names = [
  ['kitchen sensor', 'node', 'linux-arm64 node-24.21'],
  ['Mira, laptop', 'desktop', 'darwin-arm64 node-24.21'],
  ['backup runner', 'cli', 'linux-x64 node-24.21'],
  ['door camera', 'node', 'linux-arm64 node-24.21'],
  ['Jonas, desktop', 'desktop', 'linux-x64 node-24.21'],
  ['build machine 2', 'cli', 'linux-x64 node-24.21'],
  ['greenhouse', 'node', 'linux-armv7 node-24.21'],
] as const;

const ends: (() => unknown)[] = [];
const scope = { after: (end: () => unknown) => ends.push(end) } as unknown as TestContext;
const daemon = await TestDaemon.start(scope, { console: { port: 0 }, trustDomain: 'home.example' });
const devices = [];
for (const [name, kind, platform] of names) {
  const device = { ...(await makeDevice({ name })), kind, platform };
  const enrollment = await pair(daemon, device);
  const node = await daemon.node(enrollment);
  await node.register({ platform, capabilities: ['echo', 'uptime', 'read-temperature'] });
  devices.push({ device, enrollment, node });
}
for (const { node } of devices.slice(0, 4)) void connect(node);
await daemon.admin.revokeDevice({ id: devices[5]!.device.identity.id, reason: 'replaced by a new machine' });
await waitRequest('Hanna, laptop', 'desktop');
const other = await sameIdOtherKey(devices[6]!.device.identity);
await request(daemon, { ...devices[6]!.device, identity: other });

const pages: readonly (readonly [name: string, hash: string, prepare?: (page: Page) => Promise<void>])[] = [
  ['requests', '/requests'],
  ['approve', '/requests', (page) => page.getByText('Approve…', { exact: true }).click()],
  ['replace-key', '/requests', (page) => page.getByText('Approve another key').click()],
  ['pair', '/pair', (page) => page.getByText('Make a code').click()],
  [
    'pair-qr',
    '/pair',
    async (page) => {
      await page.getByText('Another code').click();
      await page.getByText('Long code', { exact: true }).click();
      await page.getByText('Make a code').click();
    },
  ],
  ['pair-new', '/pair', (page) => page.getByText('Another code').click()],
  ['devices', '/devices'],
  ['device', `/devices/${devices[0]!.device.identity.id}`],
  [
    'revoke',
    `/devices/${devices[0]!.device.identity.id}`,
    (page) => page.getByRole('button', { name: 'Revoke…', exact: true }).click(),
  ],
  ['authority', '/authority'],
  ['activity', '/activity'],
  ['health', '/health'],
  ['passkeys', '/passkeys'],
];

await mkdir(folder, { recursive: true });
for (const theme of ['light', 'dark'] as const) {
  for (const [size, viewport] of [
    ['wide', { width: 1240, height: 820 }],
    ['phone', { width: 390, height: 844 }],
  ] as const) {
    const browser = await openBrowser({ viewport, colorScheme: theme, reducedMotion: 'reduce' });
    const { page } = browser;
    const { url } = await daemon.admin.createConsoleLogin({});
    await page.goto(url);
    for (const [name, hash, prepare] of pages) {
      await page.evaluate(`location.hash = ${JSON.stringify(hash)}`);
      await page.getByText('Live', { exact: true }).waitFor();
      await prepare?.(page);
      await page.waitForTimeout(400);
      const file = `${name}-${theme}-${size}`;
      if (given || documented.includes(file)) await page.screenshot({ path: `${folder}/${file}.png` });
      await page.keyboard.press('Escape');
    }
    await browser.close();
  }
}
await takeExtension(scope, folder, (file) => given !== undefined || documented.includes(file));
for (const end of ends.reverse()) await end();
process.exit(0);

async function waitRequest(name: string, kind: 'desktop'): Promise<void> {
  const identity = await DeviceIdentity.create(nodeCrypto, systemClock);
  const device = { ...(await makeDevice({ name, identity })), kind, platform: 'darwin-arm64 node-24.21' };
  const { code } = await daemon.admin.mintCode({});
  await requestPairing(device, await daemon.peer(), parsePairingCode(code), daemon.pairingAddress);
}

/** Stays connected, like an agent. */
async function connect(node: Awaited<ReturnType<TestDaemon['node']>>): Promise<void> {
  async function* hello() {
    yield {
      event: { case: 'hello', value: { agentId: crypto.getRandomValues(new Uint8Array(16)), lastSeq: 0n } },
    } as const;
    await new Promise(() => {});
  }
  try {
    for await (const _ of node.events(hello()));
  } catch {
    // Cleanup at the end of the program.
  }
}
