// What operators see of the daemons of a fleet, also of one that is gone.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { examineHome } from '@palyra/daemon/home';
import { dueWorks } from '@palyra/rpc/admin';
import type { DaemonProcess } from '../testing/daemon-process.ts';
import { expectCode } from '../testing/expect-code.ts';
import { FleetForTests, missingPostgres } from '../testing/fleet.ts';
import { answer, palyra } from '../testing/palyra-process.ts';
import type { TestDaemon } from '../testing/running-daemon.ts';
import { makeDevice, pair } from '../testing/sample-device.ts';
import { TestAgent } from '../testing/test-agent.ts';
import { until } from '../testing/until.ts';

describe('the daemons of a fleet', { skip: missingPostgres }, () => {
  const fleet = new FleetForTests();

  test('are shown with what each has and did', async (t) => {
    const [a, b] = (await fleet.start(t, 2)) as [TestDaemon, TestDaemon];
    const device = await makeDevice();
    const agent = new TestAgent(t, device, await pair(a, device), { transport: 'http2' });
    await agent.connected();
    await a.running.identity.revocationLists.current();
    for (const each of [a, b]) await each.running.tick();
    const { daemons, dueWork } = await b.admin.getStatus({});
    const [own, other] = [daemons.find(({ isThis }) => isThis)!, daemons.find(({ isThis }) => !isThis)!];
    assert.deepEqual([own.devices, other.devices], [0, 1]);
    assert.ok(other.connections > own.connections);
    for (const each of daemons) {
      assert.equal(each.isGone, false);
      assert.ok(each.databaseMs > 0);
      assert.ok(each.endpoints.length >= 3, String(each.endpoints));
    }
    assert.ok(other.endpoints.includes(a.nodeAddress));
    const done = new Map(dueWork.map(({ what, daemon }) => [dueWorks.show(what), daemon]));
    assert.ok(daemons.some(({ id }) => id === done.get('authorities')));
    assert.equal(done.get('revocation lists'), other.id);
  });

  test('that are gone are shown as such, reported by the doctor, and can be forgotten', async (t) => {
    const settings = await fleet.settings();
    const [a, b] = (await fleet.startProcesses(t, 2, settings)) as [DaemonProcess, DaemonProcess];
    const admin = await b.admin();
    await until('both are known', async () => (await admin.getStatus({})).daemons.length === 2);
    const gone = (await admin.getStatus({})).daemons.find(({ isThis }) => !isThis)!;
    await expectCode(admin.forgetDaemon({ id: gone.id }), 'MESSAGE_INVALID');
    await expectCode(admin.forgetDaemon({ id: 'x' }), 'MESSAGE_INVALID');
    await a.kill();
    await fleet.server.sql(
      settings.url,
      `update daemons set seen_at = seen_at - 61000 where id = '${gone.id}'`,
    );
    const find = async () => (await examineHome(b.home, new Date())).filter(({ check }) => check === 'fleet');
    const verdicts = (await find()).map(({ verdict }) => verdict).sort();
    assert.deepEqual(verdicts, ['ok', 'warning']);
    const run = (...args: string[]) => palyra(args, { home: b.home });
    const shown = await answer(['status'], { home: b.home });
    assert.equal(shown.daemons.find(({ id }: { id: string }) => id === gone.id).is_gone, true);
    const listed = await answer(['fleet', 'list'], { home: b.home });
    assert.deepEqual(
      listed.daemons.map(({ id, is_gone }: Record<string, unknown>) => [id, is_gone]).sort(),
      (await admin.getStatus({})).daemons.map(({ id, isGone }) => [id, isGone]).sort(),
    );
    assert.equal((await run('fleet', 'forget', gone.id)).exitCode, 0);
    await until('it is forgotten', async () => (await admin.getStatus({})).daemons.length === 1);
    assert.deepEqual(
      (await find()).map(({ verdict }) => verdict),
      ['ok'],
    );
    assert.notEqual((await run('fleet', 'forget', gone.id)).exitCode, 0);
    const rows = await fleet.server.sql(
      settings.url,
      "select subject, detail_json from audit where action = 'daemon.forgotten'",
    );
    assert.deepEqual(rows, [{ subject: gone.id, detail_json: '{"by":"admin socket"}' }]);
    assert.ok((await admin.verifyAudit({})).ok);
  });
});
