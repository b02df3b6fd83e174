// What devices and operators notice of a database that is away: calls are refused and may be tried again, open connections
// stay, nothing is accepted unchecked, and all is well by itself when it is back.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { createClient } from '@connectrpc/connect';
import { NodeService } from '@palyra/rpc';
import { expectCode } from '../testing/expect-code.ts';
import { FleetForTests, missingPostgres } from '../testing/fleet.ts';
import { dial, testDaemonAsMember, withWeb } from '../testing/revocation-round.ts';
import { makeDevice, pair } from '../testing/sample-device.ts';
import { until } from '../testing/until.ts';

describe('a database that is away', { skip: missingPostgres }, () => {
  const fleet = new FleetForTests();

  test('refuses calls, keeps connections, and comes back by itself', async (t) => {
    const [a, b] = await fleet.start(t, 2, withWeb);
    const [device, lost] = [await makeDevice(), await makeDevice()];
    const [enrollment, revoked] = [await pair(a!, device), await pair(a!, lost)];
    const node = await b!.node(enrollment);
    await node.status({});
    const other = await b!.node(revoked);
    await other.status({});
    const standing = await Promise.all(
      (['quic', 'websocket'] as const).map(async (transport) => {
        const connection = await dial(testDaemonAsMember(b!), transport, enrollment);
        b!.closeAtEnd(connection);
        return createClient(NodeService, connection.transport);
      }),
    );
    for (const each of standing) await each.status({});
    let isClosed = false;
    void node.closed.then(() => {
      isClosed = true;
    });
    await a!.admin.revokeDevice({ id: lost.identity.id, reason: 'lost' });
    await fleet.server.stop();
    try {
      await expectCode(node.status({}), 'STORE_UNREACHABLE');
      await expectCode(node.status({}), 'STORE_UNREACHABLE');
      await expectCode((await a!.node(enrollment)).status({}), 'STORE_UNREACHABLE');
      for (const transport of ['quic', 'websocket'] as const)
        await expectCode(
          dial(testDaemonAsMember(a!), transport, enrollment).then((connection) => {
            a!.closeAtEnd(connection);
            return createClient(NodeService, connection.transport).status({});
          }),
          'STORE_UNREACHABLE',
        );
      for (const each of standing) await expectCode(each.status({}), 'STORE_UNREACHABLE');
      await assert.rejects(other.status({}), 'what was revoked is not accepted either');
      await expectCode(a!.admin.mintCode({}), 'STORE_UNREACHABLE');
    } finally {
      await fleet.server.run();
    }
    await until('the connection that stood serves again', () =>
      node.status({}).then(
        () => true,
        () => false,
      ),
    );
    assert.equal(isClosed, false);
    for (const each of standing) await each.status({});
    await pair(a!, await makeDevice());
    await assert.rejects((await b!.node(revoked)).status({}));
  });

  test('leaves the metrics that need no registry, and a gauge that says why', async (t) => {
    const [a, b] = await fleet.start(t, 2, { metrics: { port: 0 } });
    const { address } = a!.running.listeners.find(({ name }) => name === 'metrics')!;
    await pair(b!, await makeDevice());
    await a!.running.tick();
    const scrape = async () => {
      const answer = await fetch(address);
      return { status: answer.status, text: await answer.text() };
    };
    const before = await scrape();
    assert.match(before.text, /^palyra_database_up 1$/m);
    assert.match(before.text, /^palyra_database_round_trip_seconds 0\.\d/m);
    assert.equal(before.text.match(/^palyra_fleet_daemon_up\{.*\} 1$/gm)?.length, 2);
    assert.equal(before.text.match(/^palyra_fleet_daemon_seen_timestamp_seconds\{.*\} \d/gm)?.length, 2);
    assert.match(
      before.text,
      /^palyra_fleet_due_work_timestamp_seconds\{what="authorities",daemon="\w{26}"\} \d/m,
    );
    assert.match(before.text, /^palyra_registry\{what="devices"\} 1$/m);
    const alerts = readFileSync(join(import.meta.dirname, '../../docs/alerts.yml'), 'utf8');
    const alarming = new Set(alerts.match(/palyra_(?:fleet|database)_\w+/g));
    assert.equal(alarming.size, 3);
    for (const name of alarming) assert.match(before.text, new RegExp(`^${name}[ {]`, 'm'));
    await fleet.server.stop();
    try {
      const away = await until('the scrape says that the database is away', async () => {
        const { status, text } = await scrape();
        assert.equal(status, 200);
        return /^palyra_database_up 0$/m.test(text) && text;
      });
      assert.match(away, /^palyra_connections\{listener="node"\} \d/m);
      assert.match(away, /^palyra_build_info/m);
      for (const absent of [
        'palyra_registry',
        'palyra_devices',
        'palyra_audit_rows',
        'palyra_fleet_daemon_up',
      ])
        assert.doesNotMatch(away, new RegExp(`^${absent}[ {]`, 'm'));
      assert.equal((await fetch(address.replace('/metrics', '/readyz'))).status, 503);
      assert.equal((await fetch(address.replace('/metrics', '/healthz'))).status, 200);
    } finally {
      await fleet.server.run();
    }
    await until('the scrape has everything again', async () => {
      const { text } = await scrape();
      return /^palyra_database_up 1$/m.test(text) && /^palyra_registry\{what="devices"\} 1$/m.test(text);
    });
  });
});
