// Presses as hands make them: real mouse events at one place, with a pause between them.

import { setTimeout as pause } from 'node:timers/promises';
import type { Locator, Page } from 'playwright-core';

/** Moves the mouse to the middle of it. */
export async function aim(page: Page, target: Locator): Promise<void> {
  await target.scrollIntoViewIfNeeded();
  const { x, y, width, height } = (await target.boundingBox())!;
  await page.mouse.move(x + width / 2, y + height / 2, { steps: 5 });
}

/** Two clicks where the mouse is. @param between what happens in the middle of the pause. */
export async function clickTwice(page: Page, gapMs: number, between?: () => Promise<unknown>): Promise<void> {
  await page.mouse.down();
  await page.mouse.up();
  const [happened] = [between?.(), await pause(gapMs)];
  await happened;
  // A browser counts the clicks of one place by itself; a driver has to say it.
  const clickCount = gapMs < 500 ? 2 : 1;
  await page.mouse.down({ clickCount });
  await page.mouse.up({ clickCount });
}

/** Types the words of a request into its question and says yes. */
export async function approve(page: Page, words: string, yes = 'Approve'): Promise<void> {
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('The three words').fill(words);
  await dialog.getByRole('button', { name: yes, exact: true }).click();
}
