// Terminals that cannot show boxes: everything that palyra draws itself is ASCII.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TestDaemon } from '../testing/running-daemon.ts';
import { makeDevice, pair, request } from '../testing/sample-device.ts';
import { noTerminal, Terminal } from '../testing/terminal.ts';

const plain = { skip: noTerminal };
/** The output between the first and the last sign of the command. */
const isAscii = (text: string) => assert.match(text, /^[\t\n\u0020-\u007e]*$/, JSON.stringify(text));

test('in the locale C, a code stands in a box of ASCII, and a question has ASCII marks', plain, async (t) => {
  const daemon = await TestDaemon.start(t);
  const device = await makeDevice({
    name: 'the sensor in the kitchen, behind the refrigerator',
  });
  await pair(daemon, device);
  const run = (command: string) =>
    Terminal.run(t, `env LC_ALL=C npx palyra ${command} --home ${daemon.home}`, { columns: 70 });
  const code = run('pairing code');
  await code.shows(/\+-+\+\n +\| +[0-9]{3}-[0-9]{6} +\|\n +\+-+\+/);
  assert.equal(await code.ended, 0);
  isAscii(code.text);

  const list = run('devices list');
  await list.shows(/the se.*~/);
  assert.equal(await list.ended, 0);
  isAscii(list.text);

  const revoke = run(`devices revoke ${device.identity.id}`);
  await revoke.shows(/permanently/);
  revoke.type('n');
  await revoke.ended;
  isAscii(revoke.text);
});

test('on a VT100, the live screen of requests is ASCII, and a UTF-8 xterm has boxes', plain, async (t) => {
  const daemon = await TestDaemon.start(t);
  await request(daemon, await makeDevice({ name: 'laptop' }));
  const watch = (environment: string) =>
    Terminal.run(t, `env ${environment} npx palyra pairing watch --home ${daemon.home}`);
  const old = watch('LC_ALL=C.UTF-8 TERM=vt100');
  await old.showsNow(/laptop/);
  isAscii(old.screen.replaceAll('\r', ''));
  old.type('q');
  await old.ended;
  const code = Terminal.run(t, `env LC_ALL=C.UTF-8 npx palyra pairing code --home ${daemon.home}`);
  await code.shows(/┌─+┐/);
});
