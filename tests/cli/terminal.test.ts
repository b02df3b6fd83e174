// A person's view: `npm start` in one terminal, and the commands that it suggests in a second and a third.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { answer, makeHome } from '../testing/palyra-process.ts';
import { noTerminal, Terminal } from '../testing/terminal.ts';

test('npm start shows the address, code and commands, and Ctrl-C stops it cleanly', {
  skip: noTerminal,
}, async (t) => {
  const home = await makeHome(t);
  const first = Terminal.run(t, `npm start -- --home ${home}`);
  await first.shows(/pairing approve/);
  const { text } = first;
  const status = await answer(['status'], { home });
  assert.match(text, new RegExp(`trust domain +${status.trust_domain}`));
  assert.match(text, new RegExp(`root SHA-256 +${status.root_fingerprint}`));
  const addresses = new Map<string, string>();
  for (const { name, address } of status.listeners) {
    addresses.set(name, address);
    assert.match(text, new RegExp(`${name} +${address}`));
  }
  assert.deepEqual([...addresses.keys()].sort(), ['admin', 'node', 'pairing', 'quic']);
  assert.match(text, /│ +[0-9]{3}-[0-9]{6} +│/, 'the code, set apart');
  assert.match(text, /([█▀▄ ]{40,}\n){20}/, 'the QR code');
  assert.ok(text.includes(`npx palyra pair ${addresses.get('pairing')} --home ${home}`));
  assert.ok(status.live_codes > 0);
  assert.equal(await first.pressCtrlC(), 0);
  assert.match(first.text, /Stopped\./);

  const second = Terminal.run(t, `npm start -- --home ${home}`);
  await second.shows(/pairing approve/);
  const again = await answer(['status'], { home });
  for (const what of ['daemon_id', 'trust_domain', 'root_fingerprint'])
    assert.equal(again[what], status[what]);
  assert.equal(await second.pressCtrlC(), 0);
});

test('the commands that npm start shows pair a device', { skip: noTerminal }, async (t) => {
  const home = await makeHome(t);
  const daemon = Terminal.run(t, `npm start -- --home ${home}`);
  const [, pairCommand] = await daemon.shows(/^ *(npx palyra pair .*)$/m);
  const [, approveCommand] = await daemon.shows(/^ *(npx palyra pairing approve.*)$/m);
  const [code] = await daemon.shows(/[0-9]{3}-[0-9]{6}/);

  const device = Terminal.run(t, pairCommand!);
  await device.shows(/Pairing code/);
  device.type(`${code}\r`);
  const [, words] = await device.shows(/│ +([a-z]+ [a-z]+ [a-z]+) +│/);
  await daemon.shows(new RegExp(`words +${words}`));

  const operator = Terminal.run(t, approveCommand!);
  await operator.shows(new RegExp(`words +${words}`));
  await operator.shows(/Does the device show the same words/);
  operator.type('y');
  await operator.shows(/Approved/);
  assert.equal(await operator.ended, 0);

  await device.shows(/Paired with/);
  assert.equal(await device.ended, 0);
  const status = await answer(['node', 'status'], { home });
  await daemon.shows(/connected for the first time/);
  assert.equal((await answer(['devices', 'list'], { home })).devices[0].id, status.device_id);
  assert.equal(await daemon.pressCtrlC(), 0);
});
