// What devices and operators notice of a database that is away: calls are refused and may be tried again, open connections
// stay, nothing is accepted unchecked, and all is well by itself when it is back.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createClient } from '@connectrpc/connect';
import { NodeService } from '@palyra/rpc';
import { createQuic, dialNodeQuic } from '@palyra/transport-quic';
import { expectCode } from '../testing/expect-code.ts';
import { FleetForTests, missingPostgres } from '../testing/fleet.ts';
import { makeDevice, pair } from '../testing/sample-device.ts';
import { until } from '../testing/until.ts';

describe('a database that is away', { skip: missingPostgres }, () => {
  const fleet = new FleetForTests();

  test('refuses calls, keeps connections, and comes back by itself', async (t) => {
    const [a, b] = await fleet.start(t, 2);
    const [device, lost] = [await makeDevice(), await makeDevice()];
    const [enrollment, revoked] = [await pair(a!, device), await pair(a!, lost)];
    const node = await b!.node(enrollment);
    await node.status({});
    const other = await b!.node(revoked);
    await other.status({});
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
      const { address: quicAddress } = a!.running.listeners.find(({ name }) => name === 'quic')!;
      await expectCode(
        dialNodeQuic(createQuic(), { ...enrollment, quicAddress }).then((connection) => {
          a!.closeAtEnd(connection);
          return createClient(NodeService, connection.transport).status({});
        }),
        'STORE_UNREACHABLE',
      );
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
    await pair(a!, await makeDevice());
    await assert.rejects((await b!.node(revoked)).status({}));
  });
});
