// A real browser for the console: Debian's chromium, with a profile of its own for each.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type BrowserContext, chromium, type Page } from 'playwright-core';

const executablePath = '/usr/bin/chromium';
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
  /** What the page complained about: refused by the CSP, failed to load, threw. */
  readonly complaints: string[];
  /** Every address that the page asked for. */
  readonly requested: string[];
  close(): Promise<void>;
}

/** A browser with a profile of its own: no cookie, no key, no history. */
export async function openBrowser(
  options: Parameters<typeof chromium.launchPersistentContext>[1] = {},
): Promise<ConsoleBrowser> {
  const profile = await mkdtemp(join(tmpdir(), 'palyra-browser-'));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath,
    args,
    locale: 'en-GB',
    ...options,
  });
  const page = context.pages()[0] ?? (await context.newPage());
  page.setDefaultTimeout(10_000);
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
      await rm(profile, { recursive: true, force: true });
    },
  };
}
