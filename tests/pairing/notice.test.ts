// A notice tells the operator of a request.

import assert from 'node:assert/strict';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import process from 'node:process';
import { test } from 'node:test';
import { TestDaemon } from '../testing/running-daemon.ts';
import { makeDevice, request } from '../testing/sample-device.ts';

test('a request runs the configured command once, with the facts of the request', async (t) => {
  const told: string[] = [];
  const { promise: first, resolve } = Promise.withResolvers<void>();
  const server = http.createServer(async (received, response) => {
    let body = '';
    for await (const chunk of received) body += chunk;
    told.push(body);
    response.end();
    resolve();
  });
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  t.after(() => server.close());
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const program = `fetch(process.argv[1], { method: 'POST', duplex: 'half', body: process.stdin })`;
  const daemon = await TestDaemon.start(t, { notice: { command: [process.execPath, '-e', program, url] } });
  const pending = await request(daemon, await makeDevice({ name: 'greenhouse' }));
  await first;
  await daemon.admin.approvePairing({ id: pending.requestId });
  assert.equal(told.length, 1);
  const { type, request_id, daemon_id, device } = JSON.parse(told[0]!);
  assert.deepEqual(
    [type, request_id, daemon_id],
    ['pairing.requested', pending.requestId, daemon.running.daemonId],
  );
  assert.equal(device.name, 'greenhouse');
  assert.equal(device.continuity, 'new');
});
