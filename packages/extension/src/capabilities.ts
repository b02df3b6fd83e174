// What a daemon can run in this browser. A person switches each one on; the others do not exist for the daemon.

import type { Capability } from '@palyra/agent/portable';
import type { ClipboardAsks } from './clipboard.ts';
import { iconUrl } from './icon.ts';
import type { Switch } from './view.ts';

export type CapabilityName = Exclude<Switch, 'requests'>;

const maxUrlLength = 8_192;
const maxTitleLength = 100;
const maxTextLength = 1_000;

/** @param daemon shown with a notice, so that the person knows where it comes from. */
export function capabilitiesOf(
  daemon: string,
  clipboard: ClipboardAsks,
): Readonly<Record<CapabilityName, Capability>> {
  return {
    async 'tabs.open'({ input }) {
      const { href } = webAddress(textOf(input, 'url', maxUrlLength));
      await chrome.tabs.create({ url: href });
      return json({ opened: href });
    },
    async 'tabs.list'() {
      const tabs = await chrome.tabs.query({});
      return json(tabs.map(({ title = '', url = '', active }) => ({ title, url, active })));
    },
    async notify({ input }) {
      await chrome.notifications.create({
        type: 'basic',
        iconUrl,
        title: textOf(input, 'title', maxTitleLength),
        message: textOf(input, 'text', maxTextLength),
        contextMessage: daemon,
      });
      return json({ shown: true });
    },
    async 'clipboard.read'({ signal }) {
      return json({ text: await clipboard.ask(signal) });
    },
  };
}

const json = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));

/** A text of the input, which is a JSON object. */
function textOf(input: Uint8Array, field: string, maxLength: number): string {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(input));
  } catch {
    // The same answer as for an object without the field.
  }
  const text = (value as Record<string, unknown> | null | undefined)?.[field];
  if (typeof text !== 'string' || text.length === 0 || text.length > maxLength)
    throw new TypeError(`the input needs a text "${field}" with at most ${maxLength} characters`);
  return text;
}

/** Pages of the web only: not files, pages of the browser, or scripts. */
function webAddress(text: string): URL {
  const url = URL.parse(text);
  if (url?.protocol !== 'https:' && url?.protocol !== 'http:')
    throw new TypeError('this is not the address of a web page, https://...');
  return url;
}
