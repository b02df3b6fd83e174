// The number on the icon: what waits for the person.

import type { View } from './view.ts';

export async function showBadge({ daemons }: View): Promise<void> {
  const waiting = daemons.reduce(
    (sum, { requests, clipboard }) => sum + requests.length + clipboard.length,
    0,
  );
  const hasEnded = daemons.some(({ state }) => state === 'ended');
  await chrome.action.setBadgeText({ text: waiting > 0 ? `${waiting}` : hasEnded ? '!' : '' });
}
