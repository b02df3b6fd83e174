// console.*: whether the list of devices scrolls smoothly in a real browser, with 10,000 of them loaded.

import type { TestContext } from 'node:test';
import { go, startConsole } from '../tests/testing/console-browser.ts';
import { insertDevices } from '../tests/testing/many-devices.ts';
import { type Figures, median, type Progress, quantile, quartiles } from './measure.ts';

const devices = 10_000;

export async function consoleScroll(progress: Progress): Promise<Figures> {
  const ends: (() => unknown)[] = [];
  try {
    progress(`console: a daemon with ${devices} devices, and a browser`);
    const scope = { after: (end: () => unknown) => ends.push(end) } as unknown as TestContext;
    const { daemon, page, enter } = await startConsole(scope);
    await insertDevices(daemon, devices);
    await enter();
    await go(page, 'Devices');
    await page.getByRole('link', { name: 'device 00001', exact: true }).waitFor();
    progress('console: scrolling to the end');
    while ((await page.getByRole('link', { name: 'device 10000', exact: true }).count()) === 0) {
      await page.evaluate('scrollTo(0, document.body.scrollHeight)');
      await page.evaluate('new Promise(requestAnimationFrame)');
    }
    const frames = (await page.evaluate(scrolling)) as number[];
    return {
      'console.scroll_frame_ms': {
        value: median(frames),
        unit: 'ms',
        meaning: `time between two frames while the list of ${devices} devices scrolls up by 400 pixels each`,
        target: { atMost: 17 },
        spread: quartiles(frames),
        parts: { frames: frames.length, 'slowest ms': quantile(frames, 1) },
      },
    };
  } finally {
    for (const end of ends.reverse()) await end();
  }
}

const scrolling = `new Promise((resolve) => {
  const times = [];
  let before = performance.now();
  requestAnimationFrame(function frame(now) {
    times.push(now - before);
    before = now;
    if (times.length > 300 || scrollY === 0) return resolve(times.slice(2));
    scrollBy(0, -400);
    requestAnimationFrame(frame);
  });
})`;
