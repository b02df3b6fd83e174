// A rolling upgrade: three daemons of this version are replaced one after the other by daemons of the version after it, whose
// migration adds to every table, while devices call and renew, and operators change and revoke.

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { fromConnectError } from '@palyra/rpc';
import packageJson from '../../packages/daemon/package.json' with { type: 'json' };
import { DaemonProcess } from '../testing/daemon-process.ts';
import { FleetForTests, missingPostgres } from '../testing/fleet.ts';
import { Traffic } from '../testing/fleet-traffic.ts';
import { buildNextVersion, nextVersion } from '../testing/next-version.ts';
import { answer } from '../testing/palyra-process.ts';
import { enroll, playRevocation, processAsMember, withWeb } from '../testing/revocation-round.ts';
import { temporaryFolder } from '../testing/temporary-folder.ts';
import { TestAgent } from '../testing/test-agent.ts';
import { until } from '../testing/until.ts';

const thisVersion = packageJson.version;
const servedBy = 'served_by';

describe('a rolling upgrade', { skip: missingPostgres }, () => {
  const fleet = new FleetForTests();

  test('leaves a daemon for every call, loses no acknowledged change, and accepts nothing after a revocation', async (t) => {
    const next = await buildNextVersion();
    const { settings, prepare } = await setUp();
    await prepare();
    const daemons = await fleet.startProcesses(t, 3, settings, withWeb);
    const members = () => Promise.all(daemons.map(processAsMember));
    const [, , last] = await members();
    const callers = (['http2', 'quic', 'websocket'] as const).map(async (transport) => ({
      transport,
      paired: await enroll(last!),
    }));
    const traffic = new Traffic(daemons, await Promise.all(callers));
    t.after(() => traffic.end());
    const channel = await until('a device knows every daemon', async () => {
      const paired = await enroll(last!);
      return paired.enrollment.told?.node.length === 3 && paired;
    });
    const agent = new TestAgent(t, channel.device, channel.enrollment, { transport: 'http2' });
    await agent.connected();
    const works = async () => {
      await traffic.moved();
      await reach(daemons[0]!, channel.device.identity.id);
    };
    const replace = async (index: number, palyra?: string) => {
      const { home } = daemons[index]!;
      await daemons[index]!.stop();
      daemons[index] = await DaemonProcess.start(t, { home, ...(palyra && { palyra }) });
    };

    await prepare(next);
    await works();
    for (const index of daemons.keys()) {
      await replace(index, next);
      await works();
      if (index > 0) continue;
      // The device is paired at a daemon of one version, and revoked at one of the other.
      for (const first of [0, 2]) await playRevocation(t, await members(), first, ['http2']);
    }
    assert.deepEqual(await versions(daemons[0]!), [nextVersion, nextVersion, nextVersion]);
    // The migration only adds, so the way back is open.
    await replace(1);
    await works();
    assert.deepEqual(await versions(daemons[0]!), [thisVersion, nextVersion, nextVersion]);

    await traffic.stop();
    const { calls, renewals, changes, longestMs } = traffic;
    t.diagnostic(
      `${calls} calls, the longest ${Math.round(longestMs)} ms, ${renewals} renewals, ${changes.length} changes`,
    );
    const audit = await fleet.server.sql(settings.url, 'select detail_json from audit');
    const texts = audit.map((row) => String(row.detail_json)).join('\n');
    for (const change of changes) assert.ok(texts.includes(JSON.stringify(change)), change);
    assert.ok((await (await daemons[1]!.admin()).verifyAudit({})).ok);
  });

  /** A database whose tables belong to another role than the daemons'. */
  async function setUp() {
    await fleet.server.sql('postgres', `create role ${servedBy} login`);
    const given = await fleet.settings();
    const home = temporaryFolder();
    const urlFile = join(home, 'url');
    const url = given.url.replace(/user=\w+/, `user=${servedBy}`);
    writeFileSync(urlFile, url, { mode: 0o600 });
    const prepare = (palyra?: string) =>
      answer(['registry', 'prepare', '--url-file', given.registry.urlFile!, '--serve-as', servedBy], {
        home,
        ...(palyra && { palyra }),
      });
    return { settings: { ...given, url, registry: { ...given.registry, urlFile } }, prepare };
  }
});

async function versions(daemon: DaemonProcess): Promise<string[]> {
  const { daemons } = await (await daemon.admin()).getStatus({});
  return daemons.map(({ version }) => version).sort();
}

/** The device runs a capability, as soon as it is connected somewhere. */
async function reach(daemon: DaemonProcess, deviceId: string): Promise<void> {
  const admin = await daemon.admin();
  await until('the device is reached', () =>
    admin.executeCapability({ deviceId, capability: 'system.info' }).then(
      () => true,
      (error) => {
        assert.equal(fromConnectError(error).code, 'DEVICE_NOT_CONNECTED');
        return false;
      },
    ),
  );
}
