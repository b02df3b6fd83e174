// The only request that a daemon sends to a third party's server: a notice, or its traces. The server's certificate is verified against the system's
// authorities and those that the operator adds to Node. Environment variables cannot switch the verification off.

import { constants } from 'node:crypto';
import http from 'node:http';
import https from 'node:https';

/** All set explicitly, because Node takes missing values from the environment (NODE_TLS_REJECT_UNAUTHORIZED, NODE_OPTIONS). */
const verified = {
  rejectUnauthorized: true,
  minVersion: 'TLSv1.2',
  maxVersion: 'TLSv1.3',
  ciphers: constants.defaultCoreCipherList,
} as const;

export interface WebhookMessage {
  readonly body: string | Uint8Array;
  readonly headers: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
}

/**
 * @param url http or https.
 * @returns the status of the answer. Does not follow redirections, so the server cannot choose another receiver.
 * @throws the error of the request.
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
      // The body of the answer is not read.
      response.destroy();
      resolve(response.statusCode ?? 0);
    });
    request.end(body);
  });
}
