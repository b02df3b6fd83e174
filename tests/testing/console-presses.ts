// Presses like those of a hand: real mouse events at one place, with a pause between them.

import { setTimeout as pause } from 'node:timers/promises';
import type { Locator, Page } from 'playwright-core';

/** Moves the mouse to the middle of the element. */
export async function aim(page: Page, target: Locator): Promise<void> {
  await target.scrollIntoViewIfNeeded();
  const { x, y, width, height } = (await target.boundingBox())!;
  await page.mouse.move(x + width / 2, y + height / 2, { steps: 5 });
}

/** Clicks twice at the mouse's position. @param between runs in the middle of the pause. */
export async function clickTwice(page: Page, gapMs: number, between?: () => Promise<unknown>): Promise<void> {
  await page.mouse.down();
  await page.mouse.up();
  const [happened] = [between?.(), await pause(gapMs)];
  await happened;
  // A browser counts clicks at one place by itself. A driver must set the count.
  const clickCount = gapMs < 500 ? 2 : 1;
  await page.mouse.down({ clickCount });
  await page.mouse.up({ clickCount });
}

/** Types the words of a request into its question and confirms. */
export async function approve(page: Page, words: string, yes = 'Approve'): Promise<void> {
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('The three words').fill(words);
  await dialog.getByRole('button', { name: yes, exact: true }).click();
}
