// browser.*: a page in Debian's Chromium as a device.

import type { TestContext } from 'node:test';
import { servePage } from '../tests/testing/browser-page.ts';
import { openBrowser } from '../tests/testing/console-browser.ts';
import { TestDaemon } from '../tests/testing/running-daemon.ts';
import { type Figures, median, type Progress, quantile, quartiles } from './measure.ts';

const pairings = 20;
const calls = 1_000;
const warmUpCalls = 100;

/** What the page has; the functions below run there. */
declare const palyra: typeof import('../packages/browser/src/index.ts') & {
  createClient: typeof import('@connectrpc/connect').createClient;
};
declare const document: {
  body: { append(element: object): void };
  createElement(name: string): { textContent: string; onclick: () => void; remove(): void };
};

export async function inBrowser(progress: Progress): Promise<Figures> {
  const ends: (() => unknown)[] = [];
  try {
    const scope = { after: (end: () => unknown) => ends.push(end) } as unknown as TestContext;
    const origin = `http://127.0.0.1:${await servePage(scope)}`;
    const daemon = await TestDaemon.start(scope, { web: { port: 0, origins: [origin] } });
    const { page, close } = await openBrowser();
    ends.push(close);
    await page.goto(origin);
    await page.getByText('ready').waitFor();

    progress(`${pairings} pairings of a page`);
    const pairingMs: number[] = [];
    for (let round = 0; round < pairings; round += 1) {
      const { code } = await daemon.admin.mintCode({ autoApprove: true });
      const paired = page.evaluate(
        async ({ address, code, database }) => {
          const device = await palyra.BrowserDevice.open({ database });
          const button = document.createElement('button');
          button.textContent = 'Pair';
          document.body.append(button);
          await new Promise<void>((resolve) => {
            button.onclick = resolve;
          });
          const started = performance.now();
          await device.pair({ address, code, name: 'Chromium', onWords: () => {} });
          const ms = performance.now() - started;
          button.remove();
          device.close();
          return ms;
        },
        { address: daemon.webAddress, code, database: `bench-${round}` },
      );
      await page.getByRole('button', { name: 'Pair' }).click();
      pairingMs.push(await paired);
    }

    progress(`${calls} calls of a page`);
    const callMs = await page.evaluate(
      async ({ calls, warmUpCalls }) => {
        const device = await palyra.BrowserDevice.open({ database: 'bench-0' });
        const connection = await device.connect();
        const node = palyra.createClient(palyra.NodeService, connection.transport);
        const times: number[] = [];
        for (let call = -warmUpCalls; call < calls; call += 1) {
          const started = performance.now();
          await node.status({});
          if (call >= 0) times.push(performance.now() - started);
        }
        connection.close();
        return times;
      },
      { calls, warmUpCalls },
    );
    return {
      'browser.click_to_paired_ms': {
        value: median(pairingMs),
        spread: quartiles(pairingMs),
        unit: 'ms',
        meaning:
          'From the click in a page to its stored certificate, with a code that needs no decision: the handshake of the ' +
          'channel, CPace, the proofs, the keys and the writes of both sides. Chromium and the daemon on this machine.',
        parts: { pairings, slowest: quantile(pairingMs, 1) },
      },
      'browser.call_ms_p50': {
        value: median(callMs),
        unit: 'ms',
        meaning: `A call of NodeService.Status from a page over its channel, one after another, ${calls} of them.`,
        parts: {},
      },
      'browser.call_ms_p99': {
        value: quantile(callMs, 0.99),
        unit: 'ms',
        meaning: 'As above: 99 of 100 calls take no longer.',
        parts: { slowest: quantile(callMs, 1) },
      },
    };
  } finally {
    for (const end of ends.reverse()) await end();
  }
}
