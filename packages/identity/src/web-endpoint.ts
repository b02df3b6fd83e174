// Where a channel opens (docs/channel.md 2): the one place that reads such a URL. Kept, sent and shown as text in one form.

import { MAX_ENDPOINT_LENGTH } from './endpoint.ts';
import { IdentityError } from './errors.ts';

const defaultPath = '/channel';

/**
 * Reads `wss://host`, `ws://host:port/path`; without a path it is `/channel`.
 * @returns the URL in its one form.
 * @throws MESSAGE_INVALID
 */
export function parseWebEndpoint(text: string): string {
  const url = text.length <= MAX_ENDPOINT_LENGTH ? URL.parse(text) : null;
  if (!url || !/^wss?:\/\//i.test(text) || url.username || url.password || /[?#]/.test(text))
    throw new IdentityError('MESSAGE_INVALID', 'This is not the address of a channel: wss://host/path.');
  if (url.pathname === '/') url.pathname = defaultPath;
  return url.href;
}

/** Whether it is meant to be one. */
export const isWebEndpoint = (text: string): boolean => /^wss?:\/\//i.test(text);
