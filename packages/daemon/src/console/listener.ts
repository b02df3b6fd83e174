// The console: pages for one operator's browser on this machine, and the admin service behind a session.
//
// A foreign web page that reaches this port by its own name (DNS rebinding) fails the check of Host. One that makes the
// browser send a request here fails the checks of Origin, of the content type and header that no form can send, of the
// cookie, which is SameSite=Strict, and of the page token, which it does not have.

import type { IncomingMessage, ServerResponse } from 'node:http';
import type { ConnectRouter, Interceptor } from '@connectrpc/connect';
import { codeOf } from '@palyra/identity/values';
import {
  accessCheck,
  type CallObserver,
  connectHandler,
  contextOf,
  isPeerGone,
  observed,
} from '@palyra/rpc/transport';
import { listenPlainHttp, type PlainHttp } from '../listeners/plain-http.ts';
import { type ConsolePages, securityHeaders } from './pages.ts';
import { ConsoleRefusal, type ConsoleSessions } from './sessions.ts';

export interface ConsoleListenerOptions {
  readonly port: number;
  readonly sessions: ConsoleSessions;
  readonly pages: ConsolePages;
  readonly routes: (router: ConnectRouter) => void;
  /** Stands between the access check and the handlers. */
  readonly interceptor: Interceptor;
  readonly onInternal: (error: unknown, where: string) => void;
  readonly observe?: CallObserver | undefined;
}

export interface ConsoleListener {
  /** Its pages' origin. */
  readonly origin: string;
  close(): Promise<void>;
}

const maxConnections = 128;
const maxMessageBytes = 64 * 1024;
const maxSessionBodyBytes = 1024;
const sweepMs = 5_000;
/** Streams of one session. A new one ends the oldest, because a browser allows six connections to the console. */
const maxStreams = 3;
/** Connect's content types, JSON and binary, unary and streaming. A form or a simple request can send none of them. */
const contentTypes = new Set([
  'application/json',
  'application/proto',
  'application/connect+json',
  'application/connect+proto',
]);
const statusOf = {
  unauthenticated: 401,
  resource_exhausted: 429,
  invalid_argument: 400,
  permission_denied: 403,
};

export async function listenConsole(options: ConsoleListenerOptions): Promise<ConsoleListener> {
  const { sessions, pages } = options;
  const rpc = connectHandler({
    routes: options.routes,
    interceptors: [
      observed(accessCheck(options.onInternal), options.observe).interceptor,
      options.interceptor,
    ],
    readMaxBytes: maxMessageBytes,
    grpc: false,
    grpcWeb: false,
    requireConnectProtocolHeader: true,
    onError: options.onInternal,
    contextValues: () => contextOf({ caller: 'operator', at: 'console' }),
  });
  const limits = { connections: maxConnections, strangersPerSource: maxConnections };
  const answerTo = (request: IncomingMessage, response: ServerResponse) => {
    for (const [name, value] of Object.entries(securityHeaders)) response.setHeader(name, value);
    serve(request, response).catch((error) => {
      if (!(error instanceof ConsoleRefusal || isPeerGone(error))) options.onInternal(error, 'the console');
      refuse(response, error instanceof ConsoleRefusal ? error.kind : 'internal', error.message);
    });
  };
  const listener = await listenPlainHttp({ host: '127.0.0.1', port: options.port }, limits, answerTo);
  const { port } = listener;
  const others = await otherLoopback((host) => listenPlainHttp({ host, port }, limits, answerTo)).catch(
    async (error) => {
      await listener.close();
      throw error;
    },
  );
  const cookieName = `palyra_console_${port}`;
  const ownHost = `localhost:${port}`;
  const numeric = new Set([`127.0.0.1:${port}`, `[::1]:${port}`]);
  const streams = new WeakMap<AbortSignal, Set<ServerResponse>>();
  const sweep = setInterval(() => sessions.sweep(), sweepMs);
  sweep.unref();

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { host = '' } = request.headers;
    const isRead = request.method === 'GET' || request.method === 'HEAD';
    if (isRead && numeric.has(host)) {
      // Browsers refuse passkeys there.
      response.writeHead(307, { location: `http://${ownHost}/`, 'cache-control': 'no-store' }).end();
      return;
    }
    if (host !== ownHost) {
      response.writeHead(421, { 'content-type': 'text/plain' });
      response.end(`The console answers only to http://${ownHost}.\n`);
      return;
    }
    if (isRead) return pages.serve(request, response);
    response.setHeader('cache-control', 'no-store');
    const problem = request.method === 'POST' ? foreign(request, host) : 'This method is not served.';
    if (problem) return refuse(response, 'permission_denied', problem);
    if (request.url?.startsWith('/session/')) return serveSession(request, response);
    const background = request.headers['palyra-background'] === '1';
    const ended = sessions.check(cookieOf(request), pageTokenOf(request), !background);
    endWith(ended, response);
    if (request.url?.includes('/Watch')) limitStreams(ended, response);
    rpc(request, response);
  }

  function limitStreams(session: AbortSignal, response: ServerResponse): void {
    const open = streams.get(session) ?? new Set();
    streams.set(session, open.add(response));
    response.once('close', () => open.delete(response));
    if (open.size > maxStreams) open.values().next().value?.destroy();
  }

  /** The reason why a request may not come from a page of the console. */
  function foreign({ headers }: IncomingMessage, host: string): string | undefined {
    if (headers.origin !== `http://${host}`) return 'This request does not come from a page of the console.';
    const site = headers['sec-fetch-site'];
    if (site !== undefined && site !== 'same-origin') return 'This request comes from another site.';
    if (!contentTypes.has(headers['content-type'] ?? '')) return 'This content type is not accepted here.';
    if (headers['connect-protocol-version'] !== '1') return 'The header Connect-Protocol-Version is missing.';
    return undefined;
  }

  async function serveSession(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await readBody(request);
    const cookie = cookieOf(request);
    switch (request.url) {
      case '/session/login': {
        const opened = await sessions.login(text(body, 'secret'), bytes(body, 'key'));
        setCookie(response, opened.cookie);
        return answer(response, { pageToken: opened.pageToken });
      }
      case '/session/challenge':
        return answer(response, { challenge: sessions.challenge(cookie) });
      case '/session/resume': {
        const { origin = '' } = request.headers;
        const signature = bytes(body, 'signature');
        return answer(response, {
          pageToken: sessions.resume(cookie, origin, text(body, 'challenge'), signature),
        });
      }
      case '/session/logout':
        sessions.logout(cookie, pageTokenOf(request));
        setCookie(response, '', 0);
        return answer(response, {});
      default:
        throw new ConsoleRefusal('invalid_argument', 'Not found.');
    }
  }

  function cookieOf({ headers }: IncomingMessage): string | undefined {
    for (const pair of headers.cookie?.split(';') ?? []) {
      const [name, value] = pair.trim().split('=', 2);
      if (name === cookieName && value) return value;
    }
    return undefined;
  }

  /**
   * Not `Secure`, and so not `__Host-`, because Safari would drop it on http://localhost. The name contains the port,
   * because cookies ignore ports and a machine may run two daemons.
   */
  function setCookie(response: ServerResponse, value: string, maxAge?: number): void {
    const end = maxAge === undefined ? '' : `; Max-Age=${maxAge}`;
    response.setHeader('set-cookie', `${cookieName}=${value}; Path=/; HttpOnly; SameSite=Strict${end}`);
  }

  return {
    origin: `http://${ownHost}`,
    async close() {
      clearInterval(sweep);
      sessions.close();
      await Promise.all([listener, ...others].map((each) => each.close()));
    },
  };
}

/**
 * The name localhost stands for both loopback addresses. Another user's program on the one that the console left free
 * would get the console's visitors, and their login links.
 * @throws EADDRINUSE
 */
async function otherLoopback(listen: (host: string) => Promise<PlainHttp>): Promise<PlainHttp[]> {
  try {
    return [await listen('::1')];
  } catch (error) {
    // A machine without IPv6: nobody can listen there.
    if (['EADDRNOTAVAIL', 'EAFNOSUPPORT'].includes(codeOf(error) ?? '')) return [];
    throw error;
  }
}

/** The end of a session also ends its calls. */
function endWith(ended: AbortSignal, response: ServerResponse): void {
  const end = () => response.destroy();
  ended.addEventListener('abort', end);
  response.once('close', () => ended.removeEventListener('abort', end));
}

async function readBody(request: IncomingMessage): Promise<Record<string, unknown>> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of request) {
    length += chunk.length;
    if (length > maxSessionBodyBytes)
      throw new ConsoleRefusal('invalid_argument', 'The message is too large.');
    chunks.push(chunk);
  }
  try {
    const body = JSON.parse(Buffer.concat(chunks).toString());
    if (typeof body === 'object' && body !== null) return body;
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
  throw new ConsoleRefusal('invalid_argument', 'The message is not a JSON object.');
}

function text(body: Record<string, unknown>, field: string): string {
  const value = body[field];
  if (typeof value === 'string') return value;
  throw new ConsoleRefusal('invalid_argument', `"${field}" is missing.`);
}

const bytes = (body: Record<string, unknown>, field: string): Buffer =>
  Buffer.from(text(body, field), 'base64url');

function pageTokenOf({ headers }: IncomingMessage): string | undefined {
  const token = headers['palyra-page'];
  return typeof token === 'string' ? token : undefined;
}

function answer(response: ServerResponse, body: object): void {
  response.writeHead(200, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}

/** Answers in the form of Connect's errors, which the page understands in every case. */
function refuse(response: ServerResponse, code: keyof typeof statusOf | 'internal', message: string): void {
  if (response.headersSent) return void response.destroy();
  const status = code === 'internal' ? 500 : statusOf[code];
  response.writeHead(status, {
    'content-type': 'application/json',
    'cache-control': 'no-store',
    // The rest of the request is not read.
    connection: 'close',
  });
  const told = code === 'internal' ? 'An internal error occurred in the daemon. See its log.' : message;
  response.end(JSON.stringify({ code, message: told }));
}
