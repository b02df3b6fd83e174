// A client of the console's port that can send anything. It sets the headers that a browser adds by itself.

import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import http from 'node:http';
import type { TestDaemon } from './running-daemon.ts';

export interface Answer {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: string;
}

export interface Sent {
  readonly method?: string;
  readonly body?: string;
  /** Headers to change; undefined leaves out a default header. */
  readonly headers?: Readonly<Record<string, string | undefined>>;
}

export class ConsoleClient {
  readonly port: number;
  readonly origin: string;
  cookie = '';
  pageToken = '';
  #key: KeyObject | undefined;

  /** @param daemon or the address of its console. */
  constructor(daemon: TestDaemon | string) {
    this.origin =
      typeof daemon === 'string'
        ? daemon
        : daemon.running.listeners.find(({ name }) => name === 'console')!.address;
    this.port = Number(new URL(this.origin).port);
  }

  get(path: string, sent: Sent = {}): Promise<Answer> {
    return this.#send(path, {
      method: 'GET',
      ...sent,
      headers: { host: new URL(this.origin).host, ...sent.headers },
    });
  }

  /** Posts like a page of the console, with the changes in `sent`. */
  post(path: string, message: object, sent: Sent = {}): Promise<Answer> {
    return this.#send(path, {
      method: 'POST',
      body: JSON.stringify(message),
      ...sent,
      headers: this.#headers(sent.headers),
    });
  }

  call(method: string, message: object = {}, sent: Sent = {}): Promise<Answer> {
    return this.post(`/palyra.admin.v1.AdminService/${method}`, message, sent);
  }

  /** Opens a Watch stream. @returns a promise that resolves when either side ends it. */
  watch(): Promise<{ readonly ended: Promise<void>; close(): void }> {
    const headers = this.#headers({ 'content-type': 'application/connect+json' });
    return new Promise((resolve, reject) => {
      const request = this.#request('/palyra.admin.v1.AdminService/Watch', 'POST', headers, (response) => {
        if (response.statusCode !== 200) reject(new Error(`Watch was answered ${response.statusCode}`));
        response.on('error', () => {});
        response.resume();
        resolve({
          ended: new Promise((end) => response.once('close', () => end())),
          close: () => response.destroy(),
        });
      });
      request.on('error', reject);
      request.end('\0\0\0\0\u0002{}');
    });
  }

  /** Uses a login link like a browser. */
  async login(url: string): Promise<Answer> {
    const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    this.#key = pair.privateKey;
    const key = pair.publicKey.export({ type: 'spki', format: 'der' }).toString('base64url');
    const answer = await this.post('/session/login', { secret: secretOf(url), key });
    if (answer.status === 200) {
      this.cookie = answer.headers['set-cookie']![0]!.split(';')[0]!;
      this.pageToken = JSON.parse(answer.body).pageToken;
    }
    return answer;
  }

  /** @param origin the signed origin; default: the browser's own. */
  async resume(origin = this.origin): Promise<Answer> {
    const { challenge } = JSON.parse((await this.post('/session/challenge', {})).body);
    return this.post('/session/resume', this.proof(challenge, origin));
  }

  proof(challenge: string, origin = this.origin): { challenge: string; signature: string } {
    const text = Buffer.from(`palyra-console-v1 resume\n${origin}\n${challenge}`);
    const signature = sign('sha256', text, { key: this.#key!, dsaEncoding: 'ieee-p1363' });
    return { challenge, signature: signature.toString('base64url') };
  }

  #headers(given: Sent['headers']): Record<string, string | undefined> {
    return {
      host: new URL(this.origin).host,
      origin: this.origin,
      'content-type': 'application/json',
      'connect-protocol-version': '1',
      cookie: this.cookie || undefined,
      'palyra-page': this.pageToken || undefined,
      ...given,
    };
  }

  #send(path: string, { method, body, headers = {} }: Sent): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const request = this.#request(path, method, headers, (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk) => chunks.push(chunk));
        response.on('error', reject);
        response.on('end', () =>
          resolve({
            status: response.statusCode!,
            headers: response.headers,
            body: Buffer.concat(chunks).toString(),
          }),
        );
      });
      request.on('error', reject);
      request.end(body);
    });
  }

  #request(
    path: string,
    method: string | undefined,
    headers: NonNullable<Sent['headers']>,
    answered: (response: http.IncomingMessage) => void,
  ): http.ClientRequest {
    const given = Object.entries(headers).filter(([, value]) => value !== undefined) as [string, string][];
    const options = { host: '127.0.0.1', port: this.port, path, method, agent: false };
    return http.request({ ...options, headers: Object.fromEntries(given) }, answered);
  }
}

export const secretOf = (url: string): string => new URL(url).hash.replace('#login=', '');
