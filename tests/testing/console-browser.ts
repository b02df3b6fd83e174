// A real browser for the console: Debian's Chromium, or its shell, which has the same pages without the browser around them and
// takes half the processor time.

import { after, type TestContext } from 'node:test';
import {
  type Browser,
  type BrowserContext,
  type BrowserContextOptions,
  chromium,
  type Page,
} from 'playwright-core';
import { TestDaemon, type TestDaemonOptions } from './running-daemon.ts';
import { temporaryFolder } from './temporary-folder.ts';

type Program = 'chromium' | 'chromium-headless-shell';

const args = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

export interface ConsoleBrowser {
  readonly context: BrowserContext;
  readonly page: Page;
  /** Problems of the page: CSP violations, failed loads, exceptions. */
  readonly complaints: string[];
  /** Every address that the page requested. */
  readonly requested: string[];
  close(): Promise<void>;
}

let shared: Promise<Browser> | undefined;
let isShared = false;

/** Shares one process of the shell among the tests of a file. It ends after the last test. */
export function shareBrowser(): void {
  isShared = true;
  after(async () => {
    const browser = shared;
    isShared = false;
    shared = undefined;
    await (await browser)?.close();
  });
}

/**
 * A fresh browser profile, without cookies, keys or history.
 * @param program one in a process of its own. Default: the shared one, or Chromium.
 */
export async function openBrowser({
  program,
  ...options
}: BrowserContextOptions & { readonly program?: Program } = {}): Promise<ConsoleBrowser> {
  const isOwn = !isShared || program !== undefined;
  if (!isOwn) shared ??= launch('chromium-headless-shell');
  const browser = await (isOwn ? launch(program ?? 'chromium') : shared!);
  const context = await browser.newContext({ locale: 'en-GB', ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(30_000);
  const complaints: string[] = [];
  const requested: string[] = [];
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(String(error)));
  page.on('request', (request) => requested.push(request.url()));
  return {
    context,
    page,
    complaints,
    requested,
    async close() {
      await context.close();
      if (isOwn) await browser.close();
    },
  };
}

/** Starts the browser with our own home folder, because it leaves crash reports and caches there. */
const launch = (program: Program) =>
  chromium.launch({
    executablePath: `/usr/bin/${program}`,
    args,
    env: { ...process.env, HOME: temporaryFolder() },
  });

/** Starts a daemon with a console, and a browser that is not logged in. */
export async function startConsole(
  t: TestContext,
  {
    program,
    ...options
  }: Pick<TestDaemonOptions, 'clock' | 'limits' | 'web' | 'registry' | 'masterKey'> & {
    readonly program?: Program;
  } = {},
) {
  const started = await TestDaemon.start(t, { console: { port: 0 }, ...options });
  const daemon = Object.assign(started, {
    console: started.running.listeners.find(({ name }) => name === 'console')!.address,
  });
  const browser = await openBrowser(program && { program });
  t.after(() => browser.close());
  const { page } = browser;
  /** Logs in with a new link. */
  const enter = async () => {
    const { url } = await daemon.admin.createConsoleLogin({});
    await page.goto('about:blank');
    await page.goto(url);
    await live(page);
    return url;
  };
  return { daemon, browser, page, enter };
}

export const live = (page: Page) => page.getByText('Live', { exact: true }).waitFor();
/** Opens the page with that name, and waits until it replaces the previous one. */
export async function go(page: Page, name: string): Promise<void> {
  await page
    .getByRole('navigation')
    .getByRole('link', { name: new RegExp(`^${name}`) })
    .click();
  await page.getByRole('heading', { level: 1, name: new RegExp(`^${name}`) }).waitFor();
}
