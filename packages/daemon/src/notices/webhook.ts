// The one request that a daemon makes to somebody else's server. That one is known by the authorities of the system, and
// by those that the operator adds to Node's; nothing in the environment switches the check off.

import { constants } from 'node:crypto';
import http from 'node:http';
import https from 'node:https';

/** Written out: Node takes what is not from the environment (NODE_TLS_REJECT_UNAUTHORIZED, NODE_OPTIONS). */
const verified = {
  rejectUnauthorized: true,
  minVersion: 'TLSv1.2',
  maxVersion: 'TLSv1.3',
  ciphers: constants.defaultCoreCipherList,
} as const;

export interface WebhookMessage {
  readonly body: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
}

/**
 * @param url http or https.
 * @returns the status of the answer. A redirection is an answer: whoever gives it does not choose another receiver.
 * @throws what the request throws.
 */
export function post(url: string, { body, headers, signal }: WebhookMessage): Promise<number> {
  const options = {
    method: 'POST',
    headers: { ...headers, 'content-length': Buffer.byteLength(body) },
    signal,
  };
  return new Promise((resolve, reject) => {
    const request =
      new URL(url).protocol === 'https:'
        ? https.request(url, { ...options, ...verified })
        : http.request(url, options);
    request.once('error', reject);
    request.once('response', (response) => {
      // Of the answer nothing else is read.
      response.destroy();
      resolve(response.statusCode ?? 0);
    });
    request.end(body);
  });
}
