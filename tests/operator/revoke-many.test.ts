// The revocation of many devices: all or none, after one deliberate confirmation.

import assert from 'node:assert/strict';
import test from 'node:test';
import { DeviceState } from '@palyra/rpc/admin';
import { expectCode } from '../testing/expect-code.ts';
import { palyra } from '../testing/palyra-process.ts';
import { TestDaemon } from '../testing/running-daemon.ts';
import { makeDevice, pair } from '../testing/sample-device.ts';
import { noTerminal, Terminal } from '../testing/terminal.ts';

async function threeDevices(daemon: TestDaemon): Promise<string[]> {
  const ids: string[] = [];
  for (const name of ['one', 'two', 'three']) {
    const device = await makeDevice({ name });
    await pair(daemon, device);
    ids.push(device.identity.id);
  }
  for (const id of ids.slice(0, 2)) await daemon.admin.setLabels({ id, labels: ['office'] });
  return ids;
}

async function revoked(daemon: TestDaemon): Promise<string> {
  const { devices } = await daemon.admin.listDevices({ states: [DeviceState.REVOKED] });
  return devices.map(({ name }) => name).join(' ');
}

test('many devices are revoked together, their connections end, and the audit has a row for each', async (t) => {
  const daemon = await TestDaemon.start(t);
  const devices = [await makeDevice({ name: 'a' }), await makeDevice({ name: 'b' })];
  const nodes = [];
  for (const device of devices) nodes.push(await daemon.node(await pair(daemon, device)));
  for (const node of nodes) await node.status({});
  const ids = devices.map(({ identity }) => identity.id);
  const answer = await daemon.admin.revokeDevices({ ids: [...ids, ids[0]!], reason: 'office closed' });
  assert.deepEqual(
    answer.devices.map(({ id, state, revocationReason }) => [id, state, revocationReason]),
    ids.map((id) => [id, DeviceState.REVOKED, 'office closed']),
  );
  for (const node of nodes) await node.closed;
  const { entries } = await daemon.admin.listAudit({ family: 'device' });
  assert.equal(entries.filter(({ action }) => action === 'device.revoked').length, 2);
  assert.equal((await daemon.admin.verifyAudit({})).ok, true);
});

test('with an unknown id, no id or too many ids, no device is revoked', async (t) => {
  const daemon = await TestDaemon.start(t);
  const ids = await threeDevices(daemon);
  const revoke = (wanted: string[], reason = '') => daemon.admin.revokeDevices({ ids: wanted, reason });
  await expectCode(revoke([...ids, '01ARZ3NDEKTSV4RRFFQ69G5FAV']), 'DEVICE_NOT_FOUND');
  await expectCode(revoke([...ids, 'x']), 'DEVICE_ID_INVALID');
  await expectCode(revoke([]), 'MESSAGE_INVALID');
  await expectCode(revoke(ids, 'x'.repeat(300)), 'MESSAGE_INVALID');
  const many = Array.from({ length: 501 }, (_, place) => `01ARZ3NDEKTSV4RRFFQ69G${1000 + place}`);
  await expectCode(revoke([...ids, ...many]), 'MESSAGE_INVALID');
  assert.equal(await revoked(daemon), '');
});

test('without a terminal the correct number is required, and --yes is not enough', async (t) => {
  const daemon = await TestDaemon.start(t);
  const [first, second, third] = await threeDevices(daemon);
  const { home } = daemon;
  const refused = async (...args: string[]) => {
    const { exitCode, lines } = await palyra(['devices', 'revoke', ...args], { home });
    assert.notEqual(exitCode, 0);
    return lines[0]?.error;
  };
  const unsure = await refused('--label', 'office', '--yes');
  assert.equal(unsure?.code, 'NO_TERMINAL');
  for (const id of [first!, second!]) assert.ok(unsure?.message.includes(id), id);
  assert.match(unsure?.message ?? '', /--count 2/);
  const wrong = await refused('--label', 'office', '--count', '3');
  assert.equal(wrong?.code, 'USAGE');
  assert.match(wrong?.message ?? '', /2 devices/);
  assert.equal((await refused())?.code, 'USAGE');
  for (const option of ['--search', '--label', '--state'])
    assert.equal((await refused(option, '', '--count', '3'))?.code, 'USAGE', option);
  assert.equal((await refused(first!, '--label', 'office', '--count', '1'))?.code, 'USAGE');
  assert.equal((await refused(first!, second!, '--certificate', 'abcd'))?.code, 'USAGE');
  assert.equal(await revoked(daemon), '');

  const done = await palyra(['devices', 'revoke', '--label', 'office', '--count', '2'], { home });
  assert.equal(done.exitCode, 0);
  assert.equal(await revoked(daemon), 'one two');
  const again = await palyra(['devices', 'revoke', '--label', 'office', '--count', '2'], { home });
  assert.deepEqual(again.lines[0]?.devices, []);
  const last = await palyra(['devices', 'revoke', first!, third!, '--count', '1'], { home });
  assert.equal(last.exitCode, 0);
  assert.equal(await revoked(daemon), 'one two three');
});

test('at a terminal the person sees every id and types the number', { skip: noTerminal }, async (t) => {
  const daemon = await TestDaemon.start(t);
  const [first, second] = await threeDevices(daemon);
  const terminal = Terminal.run(t, `npx palyra devices revoke --label office --home ${daemon.home}`);
  await terminal.shows(new RegExp(`${first}[^]*${second}[^]*type their number`));
  terminal.type('3\r');
  await terminal.shows(/Type 2/);
  assert.equal(await revoked(daemon), '');
  terminal.type('\u007f2\r');
  await terminal.shows(/2 devices are revoked/);
  assert.equal(await terminal.ended, 0);
  assert.equal(await revoked(daemon), 'one two');
});
