// A keychain that does not answer.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { join } from 'node:path';
import test from 'node:test';
import { hasCode } from '@palyra/identity';
import { Keychain } from './keychain.ts';
import { temporaryFolder } from './testing/recorded-run.ts';

test('a keychain that never answers is given up', async (t) => {
  const bus = join(await temporaryFolder(t), 'bus');
  const held: net.Socket[] = [];
  const server = net.createServer((socket) => {
    held.push(socket.on('error', () => {}).resume());
  });
  server.listen(bus);
  await once(server, 'listening');
  const before = process.env.DBUS_SESSION_BUS_ADDRESS;
  process.env.DBUS_SESSION_BUS_ADDRESS = `unix:path=${bus}`;
  t.after(() => {
    if (before === undefined) delete process.env.DBUS_SESSION_BUS_ADDRESS;
    else process.env.DBUS_SESSION_BUS_ADDRESS = before;
    for (const socket of held) socket.destroy();
    server.close();
  });
  const asked = new Keychain('test', { timeoutMs: 3_000 }).read();
  await assert.rejects(
    asked,
    (error) => hasCode(error, 'STORE_FAILED') && /no answer within 3 s/.test(error.message),
  );
  const [socket] = held;
  if (socket && !socket.closed) await once(socket, 'close');
});
