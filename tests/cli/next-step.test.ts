// The next step after a failed command: on the device a step that the device can take, on the daemon's machine one for the operator,
// and never with the home of the other side.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { answer, failure, PalyraProcess, palyra } from '../testing/palyra-process.ts';
import { TestDaemon } from '../testing/running-daemon.ts';
import { temporaryFolder } from '../testing/temporary-folder.ts';

test('a device with a wrong code is sent to the operator, and not to a daemon of its own', async (t) => {
  const daemon = await TestDaemon.start(t);
  const home = temporaryFolder();
  const { code } = await daemon.admin.mintCode({});
  const wrong = code.replace(/[0-9]$/, (digit) => String((Number(digit) + 1) % 10));
  const run = palyra(['pair', daemon.pairingAddress, '--code-stdin'], { home, stdin: wrong });
  const message = await failure(run, { code: 'DAEMON_NOT_AUTHENTICATED', exitCode: 3 });
  assert.match(message, /If you mistyped the code, run the command again: a code has three guesses\./);
  assert.match(message, /ask the operator for a new code \(on the daemon's machine: palyra pairing code\)/);
  assert.ok(!message.includes(home), message);
});

test('the error says that a port is not the pairing listener', async (t) => {
  const daemon = await TestDaemon.start(t);
  const home = temporaryFolder();
  const plain = http.createServer().listen(0, '127.0.0.1');
  t.after(() => plain.close());
  await once(plain, 'listening');
  const node = daemon.running.listeners.find(({ name }) => name === 'node')!.address;
  for (const address of [node, `127.0.0.1:${(plain.address() as AddressInfo).port}`]) {
    const run = palyra(['pair', address, '--code-stdin'], { home, stdin: '123-456789' });
    assert.equal(
      await failure(run, { code: 'UNREACHABLE', exitCode: 7 }),
      `The server at ${address} is not the pairing listener (usually port 7443).`,
    );
  }
});

test('a revoked device is shown the command for its own home; the operator who approves the device is not', async (t) => {
  const daemon = await TestDaemon.start(t);
  const home = temporaryFolder();
  const { code } = await daemon.admin.mintCode({});
  const pairing = PalyraProcess.start(['pair', daemon.pairingAddress, '--code-stdin'], { home, stdin: code });
  const { request_id: id } = await pairing.line(({ event }) => event === 'words');
  await answer(['pairing', 'approve', id], { home: daemon.home });
  const { device_id: device } = await pairing.line(({ event }) => event === 'paired');
  await pairing.ended;
  await answer(['devices', 'revoke', device, '--yes'], { home: daemon.home });

  const refused = { code: 'DEVICE_REVOKED', exitCode: 3 };
  const told = await failure(palyra(['node', 'status'], { home }), refused);
  assert.match(told, new RegExp(`palyra pair ADDRESS --new-identity --home ${home}$`));
  const { reasons, next_step: nextStep } = await answer(['why', device], { home: daemon.home });
  assert.ok(reasons.length > 0);
  assert.match(nextStep, /palyra pair ADDRESS --new-identity$/);
});
