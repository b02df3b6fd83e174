// Rules by role and label decide who may run which capability.

import assert from 'node:assert/strict';
import test, { type TestContext } from 'node:test';
import { createClient } from '@connectrpc/connect';
import { startDaemon } from '@palyra/daemon';
import { AdminService, dialNode } from '@palyra/rpc';
import { expectCode } from '../testing/expect-code.ts';
import { palyra } from '../testing/palyra-process.ts';
import { TestDaemon, type TestDaemonOptions } from '../testing/running-daemon.ts';
import { makeDevice, pair } from '../testing/sample-device.ts';
import { temporaryFolder } from '../testing/temporary-folder.ts';
import { parsed, TestAgent } from '../testing/test-agent.ts';

type Rules = NonNullable<NonNullable<TestDaemonOptions['capabilities']>['rules']>;

/** A daemon with these rules, a connected device, and an operator's laptop. */
async function start(t: TestContext, rules?: Rules) {
  const daemon = await TestDaemon.start(t, { ...(rules && { capabilities: { rules } }) });
  const device = await makeDevice({ name: 'kiosk' });
  const agent = new TestAgent(t, device, await pair(daemon, device), { transport: 'http2' });
  await agent.connected();
  const laptop = await makeDevice({ name: 'laptop' });
  const connection = await dialNode(daemon.nodeAddress, await pair(daemon, laptop, { operator: true }));
  daemon.closeAtEnd(connection);
  const remote = createClient(AdminService, connection.transport);
  const ids = { device: device.identity.id, laptop: laptop.identity.id };
  return {
    daemon,
    ids,
    locally: (capability: string) => daemon.admin.executeCapability({ deviceId: ids.device, capability }),
    remotely: (capability: string) => remote.executeCapability({ deviceId: ids.device, capability }),
    label: (id: string, ...labels: string[]) => daemon.admin.setLabels({ id, labels }),
  };
}

const refused = 'CAPABILITY_NOT_ALLOWED';

test('without a rule every operator may run everything', async (t) => {
  const { locally, remotely } = await start(t);
  await locally('echo');
  await remotely('system.info');
});

test('with rules, a run that no rule allows is refused and audited, and never reaches the device', async (t) => {
  const { daemon, ids, locally, remotely } = await start(t, [{ run: ['system.*'], role: 'local' }]);
  await locally('system.info');
  await expectCode(locally('echo'), refused);
  await expectCode(locally('system'), refused);
  await expectCode(locally('missing'), refused);
  await expectCode(remotely('system.info'), refused);
  // Also for a device that is not connected or not known: the refusal reveals nothing about it.
  const other = daemon.admin.executeCapability({
    deviceId: '01ARZ3NDEKTSV4RRFFQ69G5FAV',
    capability: 'echo',
  });
  await expectCode(other, refused);
  const { entries } = await daemon.admin.listAudit({ subject: ids.device, family: 'capability' });
  const outcomes = entries.map(({ detailJson }) => JSON.parse(detailJson)).reverse();
  assert.deepEqual(
    outcomes.map(({ capability, outcome }) => [capability, outcome]),
    [
      ['system.info', 'OK'],
      ['echo', refused],
      ['system', refused],
      ['missing', refused],
      ['system.info', refused],
    ],
  );
  assert.equal(outcomes.at(-1).by, `device:${ids.laptop}`);
});

test('the current labels of the caller and of the device decide', async (t) => {
  const { ids, locally, remotely, label } = await start(t, [
    { run: ['echo'], role: 'operator', callerLabels: ['support'], deviceLabels: ['kiosk', 'site=berlin'] },
    { run: ['system.info'], deviceLabels: ['open'] },
  ]);
  await expectCode(remotely('echo'), refused);
  await label(ids.laptop, 'support');
  await label(ids.device, 'kiosk');
  await expectCode(remotely('echo'), refused);
  await label(ids.device, 'kiosk', 'site=berlin');
  await remotely('echo');
  await expectCode(locally('echo'), refused);
  await label(ids.laptop);
  await expectCode(remotely('echo'), refused);
  await expectCode(remotely('system.info'), refused);
  await label(ids.device, 'open');
  await remotely('system.info');
  await locally('system.info');
});

test('a contradictory rule prevents the start of the daemon', async () => {
  const bad: unknown[] = [
    [],
    [{}],
    [{ run: [] }],
    [{ run: [''] }],
    [{ run: ['a*b'] }],
    [{ run: ['**'] }],
    [{ run: ['*'], role: 'device' }],
    [{ run: ['*'], callerLabels: ['support'] }],
    [{ run: ['*'], role: 'local', callerLabels: ['support'] }],
    [{ run: ['*'], deviceLabels: ['Not a label'] }],
    [{ run: ['*'], deny: true }],
  ];
  for (const rules of bad) {
    const config = { capabilities: { rules } } as never;
    await expectCode(startDaemon({ home: temporaryFolder(), config }), 'MESSAGE_INVALID');
  }
});

test('a device can be named by its name for a run, if exactly one device that is not revoked has it', async (t) => {
  const { daemon, ids } = await start(t);
  const exec = (name: string) =>
    palyra(['node', 'exec', name, 'echo', '--input', '1'], { home: daemon.home });
  assert.equal((await exec('kiosk')).lines[0]?.output, 1);
  assert.equal((await exec('cellar')).lines[0]?.error?.code, 'DEVICE_NOT_FOUND');
  assert.equal((await exec('no such device')).lines[0]?.error?.code, 'USAGE');

  const twin = await makeDevice({ name: 'kiosk' });
  await pair(daemon, twin);
  const both = await exec('kiosk');
  assert.equal(both.lines[0]?.error?.code, 'USAGE');
  for (const id of [ids.device, twin.identity.id]) assert.ok(both.lines[0]?.error?.message.includes(id));
  await daemon.admin.revokeDevice({ id: twin.identity.id, reason: '' });
  assert.equal((await exec('kiosk')).lines[0]?.output, 1);

  // A name that is also a part of another device's id names neither device.
  await daemon.admin.renameDevice({ id: ids.device, name: ids.laptop.slice(-6) });
  assert.equal((await exec(ids.laptop.slice(-6))).lines[0]?.error?.code, 'USAGE');
  const output = await daemon.admin.executeCapability({ deviceId: ids.device, capability: 'system.info' });
  assert.ok(parsed(output.output).node);
});
