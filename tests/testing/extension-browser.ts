// Debian's Chromium with the extension loaded, in a profile of its own that outlives the browser.

import assert from 'node:assert/strict';
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { stop } from 'esbuild';
import { type BrowserContext, type CDPSession, chromium, type Page } from 'playwright-core';
import { buildExtension } from '../../packages/extension/build-extension.ts';
import { atEndOfFile, oncePerFile } from './end-of-file.ts';
import { temporaryFolder } from './temporary-folder.ts';
import { until } from './until.ts';

/** Of the key in the manifest. */
export const extensionOrigin = 'chrome-extension://mjebnfgflbmipmmabfpgncfdknefemid';

/** The extension as it is shipped. */
export const shippedExtension = oncePerFile(async () => {
  atEndOfFile(() => void stop());
  const folder = join(temporaryFolder(), 'extension');
  await buildExtension(folder);
  return folder;
});

/**
 * The extension, with the optional permissions as required ones: the question for them is a window of the browser, which no test
 * can click on. What the person switches on is still off.
 */
const permittedExtension = oncePerFile(async () => {
  const folder = join(temporaryFolder(), 'extension');
  cpSync(await shippedExtension(), folder, { recursive: true });
  const path = join(folder, 'manifest.json');
  const { optional_permissions: optional, permissions, ...rest } = JSON.parse(readFileSync(path, 'utf8'));
  writeFileSync(path, JSON.stringify({ ...rest, permissions: [...permissions, ...optional] }));
  return folder;
});

export class ExtensionBrowser {
  readonly context: BrowserContext;
  /** Of the first page, which stays open. */
  readonly #devtools: CDPSession;
  /** Every address that a page or the worker of the extension requested. */
  readonly requested: string[] = [];
  /** CSP violations and exceptions in pages. */
  readonly complaints: string[] = [];

  /**
   * @param profile of an earlier browser. Default: a new one.
   * @param folder of the extension. Default: one with all permissions.
   */
  static async start(
    t: TestContext,
    profile: string = temporaryFolder(),
    folder?: string,
  ): Promise<ExtensionBrowser> {
    folder ??= await permittedExtension();
    const context = await chromium.launchPersistentContext(profile, {
      executablePath: '/usr/bin/chromium',
      headless: false,
      // Playwright's own headless mode is one without extensions.
      args: [
        '--headless=new',
        '--no-sandbox',
        '--disable-gpu',
        '--no-first-run',
        '--disable-background-networking',
        '--disable-component-update',
        '--disable-sync',
        '--disable-component-extensions-with-background-pages',
        // The certificate of a proxy in tests has no authority that a browser knows.
        '--ignore-certificate-errors',
        `--disable-extensions-except=${folder}`,
        `--load-extension=${folder}`,
      ],
      ignoreDefaultArgs: ['--disable-extensions'],
      env: { ...process.env, HOME: temporaryFolder() },
      locale: 'en-GB',
    });
    const devtools = await context.newCDPSession(context.pages()[0] ?? (await context.newPage()));
    const browser = new ExtensionBrowser(context, devtools);
    t.after(() => browser.close());
    await until('the worker runs', () => browser.isWorking());
    return browser;
  }

  private constructor(context: BrowserContext, devtools: CDPSession) {
    this.context = context;
    this.#devtools = devtools;
    context.setDefaultTimeout(60_000);
    context.on('request', (request) => this.requested.push(request.url()));
    context.on('weberror', (error) => this.complaints.push(String(error.error())));
    context.on('console', (message) => {
      if (message.type() === 'error') this.complaints.push(message.text());
    });
  }

  /** @param page `popup` or `options`. */
  async open(page: 'popup' | 'options'): Promise<Page> {
    const tab = await this.context.newPage();
    await tab.goto(`${extensionOrigin}/${page}.html`);
    return tab;
  }

  /** The notices that the extension shows, by id. */
  async notices(): Promise<string[]> {
    const page = await this.open('options');
    const shown = await page.evaluate(() =>
      (
        globalThis as unknown as { chrome: { notifications: { getAll(): Promise<object> } } }
      ).chrome.notifications.getAll(),
    );
    await page.close();
    return Object.keys(shown);
  }

  async isWorking(): Promise<boolean> {
    return (await this.#workers()).length > 0;
  }

  /** Ends the worker, as the browser does with an idle one. */
  async killWorker(): Promise<void> {
    for (const targetId of await this.#workers()) {
      const { success } = await this.#devtools.send('Target.closeTarget', { targetId });
      assert.ok(success, 'the worker cannot be closed');
    }
    // An open page starts the next worker at once, under the same target id.
    if (this.context.pages().some((page) => page.url().startsWith(extensionOrigin))) return;
    await until('the worker is gone', async () => !(await this.isWorking()));
  }

  /** Playwright's own list keeps a worker that was killed. */
  async #workers(): Promise<string[]> {
    const { targetInfos } = await this.#devtools.send('Target.getTargets');
    return targetInfos
      .filter(({ type, url }) => type === 'service_worker' && url.startsWith(extensionOrigin))
      .map(({ targetId }) => targetId);
  }

  async close(): Promise<void> {
    await this.context.close();
  }
}

/** Fills the form that pairs, and sends it. */
export async function pairIn(page: Page, address: string, code: string): Promise<void> {
  await page.getByLabel('Address of the daemon').fill(address);
  await page.getByLabel('Code that the daemon shows').fill(code);
  await page.getByRole('button', { name: 'Pair', exact: true }).click();
}

/** Switches something on in the options. */
export async function switchOn(options: Page, name: string): Promise<void> {
  const box = options.getByRole('checkbox', { name: new RegExp(`^${name}`) });
  await box.click();
  await options.locator('input:checked').and(box).waitFor();
}

/** Switches something off in the options. */
export async function switchOff(options: Page, name: string): Promise<void> {
  const box = options.getByRole('checkbox', { name: new RegExp(`^${name}`) });
  await box.click();
  await options.locator('input:not(:checked)').and(box).waitFor();
}
