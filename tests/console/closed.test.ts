// The console serves only the one browser that used the login link.

import assert from 'node:assert/strict';
import { readFile, stat, writeFile } from 'node:fs/promises';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import process from 'node:process';
import { test } from 'node:test';
import { ConsoleClient, secretOf } from '../testing/console-client.ts';
import { HeldClock } from '../testing/held-clock.ts';
import { answer } from '../testing/palyra-process.ts';
import { TestDaemon } from '../testing/running-daemon.ts';
import { temporaryFolder } from '../testing/temporary-folder.ts';

const minuteMs = 60_000;

test('a login link gives a session, and the session gives the admin service', async (t) => {
  const { daemon, client } = await start(t);
  const { url } = await daemon.admin.createConsoleLogin({});
  assert.ok(Buffer.from(secretOf(url), 'base64url').length * 8 === 256);
  const answer = await client.login(url);
  assert.equal(answer.status, 200);
  const [cookie] = answer.headers['set-cookie']!;
  assert.match(cookie!, /^palyra_console_\d+=[\w-]{43}; Path=\/; HttpOnly; SameSite=Strict$/);
  assert.equal(answer.headers['cache-control'], 'no-store');
  const status = await client.call('GetStatus');
  assert.equal(status.status, 200);
  assert.equal(JSON.parse(status.body).trustDomain, daemon.running.trustDomain);
});

test('a link works once, only for the browser that used it', async (t) => {
  const { daemon, client } = await start(t);
  const { url } = await daemon.admin.createConsoleLogin({});
  assert.equal((await client.login(url)).status, 200);
  const second = new ConsoleClient(daemon);
  refused(await second.login(url), 401);
  refused(await second.call('GetStatus'), 401);
  assert.equal((await client.call('GetStatus')).status, 200, 'the first session continues');
});

test('a link expires after two minutes', async (t) => {
  const clock = new HeldClock();
  const { daemon, client } = await start(t, clock);
  const { url } = await daemon.admin.createConsoleLogin({});
  clock.advance(2 * minuteMs);
  refused(await client.login(url), 401);
});

test('no more than eight links wait: the oldest is dropped', async (t) => {
  const { daemon, client } = await start(t);
  const { url } = await daemon.admin.createConsoleLogin({});
  for (let count = 0; count < 8; count += 1) await daemon.admin.createConsoleLogin({});
  refused(await client.login(url), 401);
});

test('after ten failed logins, all logins are refused for a minute', async (t) => {
  const { daemon, client } = await start(t);
  for (let count = 0; count < 10; count += 1) refused(await client.login(`${client.origin}/#login=x`), 401);
  const { url } = await daemon.admin.createConsoleLogin({});
  refused(await client.login(url), 429);
});

test('a call without the cookie or page token, or with those of another session, is refused', async (t) => {
  const { daemon, client } = await start(t);
  refused(await client.call('GetStatus'), 401);
  await client.login((await daemon.admin.createConsoleLogin({})).url);
  const other = new ConsoleClient(daemon);
  await other.login((await daemon.admin.createConsoleLogin({})).url);
  refused(await client.call('GetStatus', {}, { headers: { cookie: undefined } }), 401);
  refused(await client.call('GetStatus', {}, { headers: { 'palyra-page': undefined } }), 401);
  refused(await client.call('GetStatus', {}, { headers: { 'palyra-page': other.pageToken } }), 401);
  refused(await client.call('GetStatus', {}, { headers: { cookie: other.cookie } }), 401);
  assert.equal((await client.call('GetStatus')).status, 200);
});

test('the cookie alone cannot resume a session: the browser’s key must sign a challenge for this origin, once', async (t) => {
  const { daemon, client } = await start(t);
  await client.login((await daemon.admin.createConsoleLogin({})).url);
  const answer = await client.resume();
  assert.equal(JSON.parse(answer.body).pageToken, client.pageToken);

  const thief = new ConsoleClient(daemon);
  await thief.login((await daemon.admin.createConsoleLogin({})).url);
  thief.cookie = client.cookie;
  refused(await thief.resume(), 401);
  refused(await client.resume(`http://127.0.0.1:${client.port + 1}`), 401);
  const { challenge } = JSON.parse((await client.post('/session/challenge', {})).body);
  const proof = client.proof(challenge);
  assert.equal((await client.post('/session/resume', proof)).status, 200);
  refused(await client.post('/session/resume', proof), 401);
});

test('a session ends 15 minutes after its last use; requests that the page makes by itself do not count', async (t) => {
  const clock = new HeldClock();
  const { daemon, client } = await start(t, clock);
  await client.login((await daemon.admin.createConsoleLogin({})).url);
  const byItself = { headers: { 'palyra-background': '1' } };
  clock.advance(14 * minuteMs);
  assert.equal((await client.call('GetStatus')).status, 200);
  clock.advance(14 * minuteMs);
  assert.equal((await client.call('GetStatus', {}, byItself)).status, 200);
  clock.advance(minuteMs);
  refused(await client.call('GetStatus', {}, byItself), 401);
});

test('a session ends after 12 hours, used or not', async (t) => {
  const clock = new HeldClock();
  const { daemon, client } = await start(t, clock);
  await client.login((await daemon.admin.createConsoleLogin({})).url);
  for (let minutes = 10; minutes < 12 * 60; minutes += 10) {
    clock.advance(10 * minuteMs);
    assert.equal((await client.call('GetStatus')).status, 200);
  }
  clock.advance(10 * minuteMs);
  refused(await client.call('GetStatus'), 401);
});

test('a log-out ends the session and its stream at once', async (t) => {
  const { daemon, client } = await start(t);
  await client.login((await daemon.admin.createConsoleLogin({})).url);
  const stream = await client.watch();
  const out = await client.post('/session/logout', {});
  assert.equal(out.status, 200);
  assert.match(out.headers['set-cookie']![0]!, /=; .*Max-Age=0/);
  await stream.ended;
  refused(await client.call('GetStatus'), 401);
});

test('only localhost on this port is answered, and the loopback addresses lead a reader there', async (t) => {
  const { daemon, client } = await start(t);
  const { port } = client;
  assert.equal((await client.get('/')).status, 200);
  for (const host of [`127.0.0.1:${port}`, `[::1]:${port}`]) {
    const { status, headers } = await client.get('/', { headers: { host } });
    assert.deepEqual([status, headers.location], [307, `http://localhost:${port}/`]);
    const call = await client.call('GetStatus', {}, { headers: { host, origin: `http://${host}` } });
    assert.equal(call.status, 421, host);
  }
  await client.login((await daemon.admin.createConsoleLogin({})).url);
  for (const host of [`rebound.example:${port}`, 'rebound.example', '127.0.0.1', `127.0.0.1:${port + 1}`]) {
    const headers = { host, origin: `http://${host}` };
    assert.equal((await client.get('/', { headers })).status, 421, host);
    const call = await client.call('GetStatus', {}, { headers });
    assert.equal(call.status, 421, host);
    assert.doesNotMatch(call.body, /trustDomain/);
  }
});

test('a call from another site, or one that a form could send, is refused whatever it contains', async (t) => {
  const { daemon, client } = await start(t);
  await client.login((await daemon.admin.createConsoleLogin({})).url);
  const foreign: Record<string, string | undefined>[] = [
    { origin: undefined },
    { origin: 'null' },
    { origin: 'https://example.com' },
    { origin: `http://127.0.0.1:${client.port}` },
    { origin: `http://localhost:${client.port + 1}` },
    { origin: `https://localhost:${client.port}` },
    { 'sec-fetch-site': 'same-site' },
    { 'sec-fetch-site': 'cross-site' },
    { 'content-type': 'text/plain' },
    { 'content-type': 'application/x-www-form-urlencoded' },
    { 'content-type': 'application/grpc' },
    { 'content-type': undefined },
    { 'connect-protocol-version': undefined },
    { 'connect-protocol-version': '2' },
  ];
  for (const headers of foreign) {
    for (const path of ['/palyra.admin.v1.AdminService/GetStatus', '/session/logout', '/session/challenge']) {
      refused(await client.post(path, {}, { headers }), 403, JSON.stringify(headers));
    }
  }
  assert.equal((await client.call('GetStatus')).status, 200, 'the session was not touched');
});

test('other methods and paths get nothing', async (t) => {
  const { daemon, client } = await start(t);
  await client.login((await daemon.admin.createConsoleLogin({})).url);
  for (const method of ['PUT', 'DELETE', 'OPTIONS', 'PATCH', 'TRACE']) {
    refused(await client.call('GetStatus', {}, { method }), 403, method);
  }
  for (const path of [
    '/../package.json',
    '/%2e%2e/package.json',
    '/assets/../../package.json',
    '/assets',
    '//',
  ]) {
    assert.equal((await client.get(path)).status, 404, path);
  }
  assert.equal((await client.post('/palyra.node.v1.NodeService/Status', {})).status, 404);
  assert.equal((await client.get('/palyra.admin.v1.AdminService/GetStatus')).status, 404);
});

test('messages that cannot be read are refused', async (t) => {
  const { daemon, client } = await start(t);
  const { url } = await daemon.admin.createConsoleLogin({});
  for (const body of ['', '{', '[]', 'null', '{"secret":1}', `{"secret":"${secretOf(url)}","key":"AAAA"}`]) {
    refused(await client.post('/session/login', {}, { body }), 400, body);
  }
  refused(
    await client.post('/session/login', {}, { body: JSON.stringify({ secret: 'x'.repeat(2000) }) }),
    400,
  );
  assert.equal((await client.login(url)).status, 200, 'none of them used up the link');
  const tooLong = await client.call('RejectPairing', { id: 'x'.repeat(100_000) });
  assert.equal(JSON.parse(tooLong.body).code, 'resource_exhausted');
});

test('nobody else can listen at the port on the other loopback address, to which localhost also leads', async (t) => {
  const { client } = await start(t);
  const other = http.createServer();
  t.after(() => other.close());
  const { promise, resolve } = Promise.withResolvers<string | undefined>();
  other.once('error', ({ code }: NodeJS.ErrnoException) => resolve(code));
  other.listen(client.port, '::1', () => resolve(undefined));
  // A machine without IPv6 has no such address for anybody.
  assert.match(String(await promise), /^(?:EADDRINUSE|EADDRNOTAVAIL|EAFNOSUPPORT)$/);
});

test('a console without a configured port takes one that is free on both addresses', async (t) => {
  const taken = http.createServer();
  t.after(() => taken.close());
  const { promise, resolve } = Promise.withResolvers<boolean>();
  taken.once('error', () => resolve(false));
  taken.listen(7445, '::1', () => resolve(true));
  await promise;
  const daemon = await TestDaemon.start(t, { console: {} });
  const client = new ConsoleClient(daemon);
  assert.equal((await client.get('/')).status, 200);
  assert.notEqual(client.port, 7445);
});

test('a session cannot make another one', async (t) => {
  const { daemon, client } = await start(t);
  await client.login((await daemon.admin.createConsoleLogin({})).url);
  const answer = await client.call('CreateConsoleLogin');
  assert.equal(answer.status, 403);
  assert.equal(JSON.parse(answer.body).code, 'permission_denied');
});

test('palyra console --open hands the browser a private file, never the link on a command line', async (t) => {
  const { daemon, client } = await start(t);
  const { promise: opened, resolve } = Promise.withResolvers<string>();
  const listener = http.createServer((request, response) => {
    request.setEncoding('utf8').on('data', resolve);
    response.end();
  });
  await new Promise<void>((listening) => listener.listen(0, '127.0.0.1', listening));
  t.after(() => listener.close());
  const programs = temporaryFolder();
  const told = `http://127.0.0.1:${(listener.address() as AddressInfo).port}`;
  const script = `#!/bin/sh\nexec curl -s -d "$*" ${told}\n`;
  for (const name of ['xdg-open', 'open']) await writeFile(join(programs, name), script, { mode: 0o700 });
  const env = { PATH: `${programs}:${process.env.PATH}` };
  const { url } = await answer(['console', '--open'], { home: daemon.home, env });
  const file = new URL(await opened);
  assert.equal(file.protocol, 'file:');
  assert.equal(file.hash, '');
  assert.equal((await stat(file)).mode & 0o777, 0o600);
  assert.ok((await readFile(file, 'utf8')).includes(url));
  assert.equal((await client.login(url)).status, 200);
});

test('every response carries the security headers', async (t) => {
  const { client } = await start(t);
  const answers = [
    await client.get('/'),
    await client.get('/none'),
    await client.get('/', { headers: { host: 'rebound.example' } }),
    await client.call('GetStatus'),
  ];
  for (const { headers, status } of answers) {
    const policy = headers['content-security-policy'] as string;
    assert.match(policy, /^default-src 'none'; script-src 'self'; style-src 'self';/, String(status));
    assert.match(policy, /base-uri 'none'; form-action 'none'; frame-ancestors 'none'/);
    assert.doesNotMatch(policy, /unsafe|\*|https?:/);
    assert.equal(headers['x-content-type-options'], 'nosniff');
    assert.equal(headers['referrer-policy'], 'no-referrer');
    assert.equal(headers['cross-origin-opener-policy'], 'same-origin');
    assert.equal(headers['cross-origin-resource-policy'], 'same-origin');
    assert.equal(headers['x-frame-options'], 'DENY');
    assert.equal(headers['access-control-allow-origin'], undefined);
  }
});

test('one session holds three streams: a fourth ends the first', async (t) => {
  const { daemon, client } = await start(t);
  await client.login((await daemon.admin.createConsoleLogin({})).url);
  const first = await client.watch();
  for (let count = 0; count < 3; count += 1) await client.watch();
  await first.ended;
});

async function start(t: Parameters<typeof TestDaemon.start>[0], clock?: HeldClock) {
  const daemon = await TestDaemon.start(t, { console: { port: 0 }, ...(clock && { clock }) });
  return { daemon, client: new ConsoleClient(daemon) };
}

function refused(
  { status, body, headers }: Awaited<ReturnType<ConsoleClient['get']>>,
  code: number,
  what = '',
): void {
  assert.equal(status, code, what);
  assert.equal(headers['set-cookie'], undefined);
  assert.match(JSON.parse(body).message, /\w/);
}
