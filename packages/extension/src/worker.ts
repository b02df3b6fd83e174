// The service worker: keeps the channels, and answers the pages. A browser ends a worker that is idle for 30 seconds, at its own
// discretion, and starts it again for an event: so nothing here outlives it that is not stored, and every start is the same.

import { showBadge } from './badge.ts';
import { Daemons } from './daemons.ts';
import { Pages } from './pages.ts';
import { onWake } from './wake.ts';

/** An alarm starts a worker that was ended, ms. Browsers keep no shorter one. */
const wakeMs = 30_000;

const daemons = new Daemons(() => {
  pages.show();
  void showBadge(daemons.view);
});
const pages = new Pages(
  () => daemons.view,
  (command) => daemons.do(command),
);

// A browser starts a worker only for events that it listens for from its first turn.
chrome.runtime.onConnect.addListener((port) => pages.add(port));
chrome.runtime.onStartup.addListener(() => {});
chrome.runtime.onInstalled.addListener(() => {});
chrome.alarms.onAlarm.addListener(() => {});
// A browser waits with an update until the worker is idle, which this one never is.
chrome.runtime.onUpdateAvailable.addListener(() => chrome.runtime.reload());
chrome.permissions.onAdded.addListener(listenForClicks);
chrome.permissions.onRemoved.addListener(() => void daemons.checkPermissions());
listenForClicks();
onWake(() => daemons.reconnect());

void keepAlarm();
void daemons.start();

/** A new alarm would begin its time again at each start. An update of the extension, and switching it off, drop the alarm. */
async function keepAlarm(): Promise<void> {
  const present = await chrome.alarms.get('wake');
  if (!present) await chrome.alarms.create('wake', { periodInMinutes: wakeMs / 60_000 });
}

/** Notices exist only while the person permits them. */
function listenForClicks(): void {
  const clicked = chrome.notifications?.onClicked;
  if (clicked && !clicked.hasListener(onClick)) clicked.addListener(onClick);
}

function onClick(notice: string): void {
  if (notice.startsWith('request/')) void openPopup();
}

/** Needs a window in front; a tab shows the same. */
async function openPopup(): Promise<void> {
  await chrome.action
    .openPopup()
    .catch(() => chrome.tabs.create({ url: chrome.runtime.getURL('popup.html') }));
}
