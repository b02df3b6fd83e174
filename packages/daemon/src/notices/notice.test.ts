import assert from 'node:assert/strict';
import { createHmac, randomBytes } from 'node:crypto';
import { chmod, writeFile } from 'node:fs/promises';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { hasCode } from '@palyra/identity';
import type { RegistryEvent } from '@palyra/identity/registry';
import type { DeviceId } from '@palyra/identity/values';
import { temporaryFolder } from '../../../../tests/testing/temporary-folder.ts';
import { within } from '../../../../tests/testing/until.ts';
import { parseConfig } from '../config.ts';
import { Notice } from './notice.ts';

const name = '"; $(touch /tmp/x) `id` | sh';

test('a webhook receives a signed notice of a request, without the words', async (t) => {
  const receiver = await receive(t);
  const { secret, secretFile } = await makeSecret();
  const { notice } = await open(t, { webhook: { url: `${receiver.url}/hook?token=x`, secretFile } });
  notice.take(changed('pending_approval'));
  const { headers, body } = await receiver.next();
  const id = headers['webhook-id'];
  const signed = createHmac('sha256', secret).update(`${id}.${headers['webhook-timestamp']}.${body}`);
  assert.equal(headers['webhook-signature'], `v1,${signed.digest('base64')}`);
  assert.equal(headers['webhook-timestamp'], '1800000000');
  assert.equal(headers['content-type'], 'application/json');
  const told = JSON.parse(body);
  assert.equal(told.type, 'pairing.requested');
  assert.equal(told.request_id, id);
  assert.equal(told.device.name, name);
  assert.equal(told.device.continuity, 'another_key');
  assert.doesNotMatch(body, /bus leg airport/);
});

test('of pairing changes and revocations, only a new request causes a notice', async (t) => {
  const receiver = await receive(t);
  const { secretFile } = await makeSecret();
  const { notice } = await open(t, { webhook: { url: receiver.url, secretFile } });
  for (const state of ['waiting', 'approved', 'issued', 'active', 'rejected']) notice.take(changed(state));
  notice.take({ type: 'device_revoked', deviceId: '01KAT0MZP8C4T7T1JQ5Z7K3QX9' } as RegistryEvent);
  notice.take(changed('pending_approval'));
  await receiver.next();
  assert.equal(receiver.count(), 1);
});

test('a possible copy of a device causes a notice with the certificate and its source', async (t) => {
  const receiver = await receive(t);
  const { secretFile } = await makeSecret();
  const { notice } = await open(t, { webhook: { url: receiver.url, secretFile } });
  const device = { id: '01KAT0MZP8C4T7T1JQ5Z7K3QX9', name };
  const facts = {
    serial: 'ab'.repeat(16),
    source: '192.0.2.9',
    quarantined: true,
    sign: 'replaced_certificate',
  } as const;
  const at = new Date(1_800_000_000_000);
  notice.take({ type: 'clone_suspected', deviceId: device.id as DeviceId, name, at, ...facts });
  const { headers, body } = await receiver.next();
  assert.equal(headers['webhook-id'], `${facts.serial}-1800000000000`);
  assert.deepEqual(JSON.parse(body), {
    type: 'device.clone_suspected',
    daemon_id: '01KAT0MZP8C4T7T1JQ5Z7K3QX9',
    at: at.toISOString(),
    ...facts,
    device,
  });
});

test('a failed webhook is retried', async (t) => {
  const receiver = await receive(t, [503]);
  const { secretFile } = await makeSecret();
  const { notice, problems } = await open(t, { webhook: { url: receiver.url, secretFile } });
  notice.take(changed('pending_approval'));
  const first = await receiver.next();
  const second = await receiver.next();
  assert.equal(
    second.headers['webhook-id'],
    first.headers['webhook-id'],
    'the receiver knows it as the same',
  );
  assert.deepEqual(problems.told, []);
});

test('a redirection from a webhook is not followed', async (t) => {
  const elsewhere = await receive(t);
  const receiver = await receive(t, [307, 307, 307], { location: elsewhere.url });
  const { secretFile } = await makeSecret();
  const { notice } = await open(t, { webhook: { url: receiver.url, secretFile } });
  notice.take(changed('pending_approval'));
  await receiver.next();
  await receiver.next();
  assert.equal(elsewhere.count(), 0);
});

test("a command gets the request on stdin, runs without a shell, and sees nothing of the daemon's environment", async (t) => {
  const receiver = await receive(t);
  const program = `
    let text = '';
    process.stdin.on('data', (chunk) => (text += chunk));
    process.stdin.on('end', () => fetch(process.argv[1], { method: 'POST',
      body: JSON.stringify({ text, environment: process.env }) }));`;
  process.env.PALYRA_TEST_SECRET = 'in the environment of the daemon';
  t.after(() => delete process.env.PALYRA_TEST_SECRET);
  const { notice } = await open(t, { command: [process.execPath, '-e', program, receiver.url] });
  notice.take(changed('pending_approval'));
  const { text, environment } = JSON.parse((await receiver.next()).body);
  assert.equal(JSON.parse(text).device.name, name);
  assert.deepEqual(Object.keys(environment), ['PATH']);
});

test('a command that fails or does not exist is reported, without further effect', async (t) => {
  for (const command of [['/bin/sh', '-c', 'exit 3'], ['/no/such/program']]) {
    const { notice, problems } = await open(t, { command });
    notice.take(changed('pending_approval'));
    assert.match(String(await problems.next()), /exit code 3|ENOENT/);
  }
});

test('at most sixteen notices of one kind are in progress, and each dropped one is reported', async (t) => {
  const { notice, problems } = await open(t, { command: ['/bin/sleep', '60'] });
  for (let count = 0; count < 16; count += 1) notice.take(changed('pending_approval'));
  assert.equal(problems.told.length, 0);
  notice.take(changed('pending_approval'));
  assert.ok(hasCode(await problems.next(), 'RATE_LIMITED'));
});

test('a flood of one kind does not block notices of another', async (t) => {
  const { notice, problems } = await open(t, { command: ['/bin/sleep', '60'] });
  const device = { deviceId: '01KAT0MZP8C4T7T1JQ5Z7K3QX9' as DeviceId, name, source: '192.0.2.9' };
  const at = new Date(1_800_000_000_000);
  for (let count = 0; count < 17; count += 1) {
    const facts = { serial: 'ab'.repeat(16), quarantined: false, sign: 'recovery' } as const;
    notice.take({ type: 'clone_suspected', at, ...device, ...facts });
  }
  assert.ok(hasCode(await problems.next(), 'RATE_LIMITED'));
  notice.take({ type: 'recovery_asked', at, ...device, reason: 'x', possibleCopy: true });
  notice.take(changed('pending_approval'));
  assert.deepEqual(problems.told, []);
});

test('a secret that is missing, short or not base64 is refused at the start', async (t) => {
  const { secretFile } = await makeSecret();
  for (const content of ['', 'c2hvcnQ=', '!!!!']) {
    await writeFile(secretFile, content);
    await assert.rejects(open(t, { webhook: { url: 'http://127.0.0.1:1', secretFile } }), (error) =>
      hasCode(error, 'MESSAGE_INVALID'),
    );
  }
  const missing = { webhook: { url: 'http://127.0.0.1:1', secretFile: `${secretFile}.none` } };
  await assert.rejects(open(t, missing), (error) => hasCode(error, 'MESSAGE_INVALID'));
});

test('a secret that others may read, and a program that others may change, are refused at the start', async (t) => {
  const { secretFile } = await makeSecret();
  await chmod(secretFile, 0o644);
  await assert.rejects(open(t, { webhook: { url: 'http://127.0.0.1:1', secretFile } }), {
    code: 'STORE_PERMISSIONS',
    message: /chmod g-w,o= .*secret$/,
  });
  const program = join(temporaryFolder(), 'program');
  await writeFile(program, '#!/bin/sh\n');
  await chmod(program, 0o777);
  await assert.rejects(open(t, { command: [program] }), {
    code: 'STORE_PERMISSIONS',
    message: /chmod go-w .*program$/,
  });
});

test('an address that is neither http nor https is refused', () => {
  for (const url of ['file:///etc/passwd', 'ftp://example.com', 'here', '']) {
    assert.throws(
      () => parseConfig({ notice: { webhook: { url, secretFile: '/x' } } }, 'a test'),
      (error) => hasCode(error, 'MESSAGE_INVALID'),
      url,
    );
  }
  assert.deepEqual(parseConfig({}, 'a test').notice, {}, 'off by default');
});

async function open(t: TestContext, config: Parameters<typeof Notice.open>[0]['config']) {
  const problems = queue<unknown>();
  const notice = await Notice.open({
    config,
    daemonId: '01KAT0MZP8C4T7T1JQ5Z7K3QX9',
    now: () => new Date(1_800_000_000_000),
    onError: (error) => problems.push(error),
  });
  t.after(() => notice.close());
  return { notice, problems };
}

function changed(state: string): RegistryEvent {
  const request = {
    deviceId: '01KAT0MZP8C4T7T1JQ5Z7K3QX9',
    name,
    kind: 'node',
    platform: 'linux-x64',
    source: '192.0.2.1',
    words: 'bus leg airport',
    continuity: 'another_key',
    failedGuesses: 1,
  };
  const pairing = {
    id: '01KAT0MZP8C4T7T1JQ5Z7K3QXA',
    state,
    expiresAt: new Date(1_800_003_600_000),
    request,
  };
  return { type: 'pairing_changed', pairing } as unknown as RegistryEvent;
}

async function makeSecret() {
  const folder = temporaryFolder();
  const secret = randomBytes(32);
  const secretFile = join(folder, 'secret');
  await writeFile(secretFile, `whsec_${secret.toString('base64')}\n`, { mode: 0o600 });
  return { secret, secretFile };
}

/** @param statuses the statuses of the first answers. Later answers have 204. */
async function receive(t: TestContext, statuses: number[] = [], headers: http.OutgoingHttpHeaders = {}) {
  const received = queue<{ headers: http.IncomingHttpHeaders; body: string }>();
  let count = 0;
  const server = http.createServer(async (request, response) => {
    count += 1;
    let body = '';
    for await (const chunk of request) body += chunk;
    response.writeHead(statuses.shift() ?? 204, headers).end();
    received.push({ headers: request.headers, body });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}`, next: received.next, count: () => count };
}

function queue<T>() {
  const told: T[] = [];
  const waiting: ((value: T) => void)[] = [];
  return {
    told,
    push(value: T) {
      const take = waiting.shift();
      if (take) take(value);
      else told.push(value);
    },
    next: () =>
      within(
        'the next of the queue',
        new Promise<T>((resolve) => {
          if (told.length > 0) resolve(told.shift()!);
          else waiting.push(resolve);
        }),
      ),
  };
}
