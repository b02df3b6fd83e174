// The metrics of a real daemon, read as Prometheus reads them, and what docs/ builds on them.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { requestPairing } from '@palyra/identity/device';
import { dialNode, dialPairing, NodeService } from '@palyra/rpc';
import { createQuic, dialNodeQuic } from '@palyra/transport-quic';
import { expectCode } from '../testing/expect-code.ts';
import { renew } from '../testing/renewals.ts';
import { TestDaemon } from '../testing/running-daemon.ts';
import { makeDevice, pair } from '../testing/sample-device.ts';
import { temporaryFolder } from '../testing/temporary-folder.ts';
import { wrongPin } from '../testing/wrong-code.ts';

const document = (name: string) => fileURLToPath(new URL(`../../docs/${name}`, import.meta.url));
const quic = createQuic();
const noPromtool =
  spawnSync('promtool', ['--version']).error && "promtool of Debian's package prometheus is missing";

/** After some pairing, renewing and refusing. */
async function usedDaemon(t: TestContext): Promise<{ daemon: TestDaemon; scrape: () => Promise<string> }> {
  const folder = temporaryFolder();
  const passphraseFile = join(folder, 'passphrase');
  await writeFile(passphraseFile, 'correct horse battery staple', { mode: 0o600 });
  const backup = { folder, passphraseFile };
  const daemon = await TestDaemon.start(t, { metrics: { port: 0 }, backup });
  const url = daemon.running.listeners.find(({ name }) => name === 'metrics')!.address;
  const device = await makeDevice();
  const enrollment = await pair(daemon, device);
  await renew(daemon, device, enrollment);
  const { code } = await daemon.admin.mintCode({});
  await expectCode(
    requestPairing(await makeDevice(), await daemon.peer(), wrongPin(code), daemon.pairingAddress),
    'DAEMON_NOT_AUTHENTICATED',
  );
  await daemon.admin.verifyAudit({});
  await daemon.admin.revokeDevice({ id: device.identity.id, reason: 'sold' });
  await expectCode(renew(daemon, device, enrollment), 'DEVICE_REVOKED');
  return { daemon, scrape: async () => (await fetch(url)).text() };
}

test('metrics follow what devices and operators do', async (t) => {
  const { scrape } = await usedDaemon(t);
  const text = await scrape();
  for (const line of [
    'palyra_devices{state="revoked"} 1',
    'palyra_devices{state="active"} 0',
    'palyra_renewals_total{how="renewal",outcome="made"} 1',
    'palyra_renewals_total{how="renewal",outcome="refused"} 1',
    'palyra_renewals_total{how="recovery",outcome="refused"} 0',
    'palyra_calls_total{method="palyra.node.v1.NodeService/Renew",outcome="ok"} 1',
    'palyra_calls_total{method="palyra.node.v1.NodeService/Renew",outcome="DEVICE_REVOKED"} 1',
    'palyra_calls_total{method="palyra.admin.v1.AdminService/VerifyAudit",outcome="ok"} 1',
    'palyra_call_duration_seconds_count{method="palyra.node.v1.NodeService/Renew"} 1',
    'palyra_pairing_guesses_total 2',
    'palyra_pairing_wrong_guesses_total 0',
    'palyra_pairing_codes_ended_total{how="used"} 1',
    'palyra_audit_intact 1',
  ])
    assert.ok(text.includes(`\n${line}\n`), `${line} is not in\n${text}`);
  for (const positive of ['palyra_audit_rows', 'palyra_registry_bytes', 'palyra_disk_bytes{what="free"}'])
    assert.ok(Number(text.split(`\n${positive} `)[1]?.split('\n')[0]) > 0, positive);
});

test('what a caller invents does not become a label', async (t) => {
  const { daemon, scrape } = await usedDaemon(t);
  const device = await makeDevice();
  const enrollment = await pair(daemon, device);
  for (const connection of [
    await dialPairing(daemon.pairingAddress),
    await dialNode(enrollment.nodeAddress, enrollment),
    await dialNodeQuic(quic, enrollment),
  ]) {
    t.after(() => connection.close());
    for (const service of ['palyra.node.v1.Invented', 'invented.v1.Service']) {
      const invented = { ...NodeService, typeName: service };
      const method = { ...NodeService.method.status, parent: invented };
      await assert.rejects(
        connection.transport.unary(method as never, undefined, 5_000, undefined, {}, undefined),
      );
    }
  }
  assert.doesNotMatch(await scrape(), /[Ii]nvented/);
});

test('each metric that the alerts and the dashboard name is one that the daemon has', async (t) => {
  const { scrape } = await usedDaemon(t);
  const names = new Set((await scrape()).match(/^[a-z_0-9]+(?=[{ ])/gm));
  const only = (file: string) =>
    new Set(readFileSync(document(file), 'utf8').match(/(?:palyra|nodejs|process)_[a-z_0-9]+/g));
  // There only with a token.
  names.add('palyra_pkcs11_token_usable');
  // There only with a fleet (tests/fleet/database-away.test.ts).
  for (const name of ['palyra_fleet_daemon_up', 'palyra_database_up', 'palyra_database_round_trip_seconds'])
    names.add(name);
  for (const [file, atLeast] of [
    ['alerts.yml', 12],
    ['grafana-dashboard.json', 18],
  ] as const) {
    const named = only(file);
    assert.ok(named.size >= atLeast, `${file} names ${named.size}`);
    for (const name of named) assert.ok(names.has(name), `${file}: ${name}`);
  }
});

test('promtool finds nothing wrong with the metrics and the alerts', { skip: noPromtool }, async (t) => {
  const { scrape } = await usedDaemon(t);
  const lint = spawnSync('promtool', ['check', 'metrics'], { input: await scrape(), encoding: 'utf8' });
  assert.deepEqual([lint.status, lint.stdout + lint.stderr], [0, '']);
  const checked = spawnSync('promtool', ['check', 'rules', document('alerts.yml')], { encoding: 'utf8' });
  assert.equal(checked.status, 0, checked.stdout + checked.stderr);
});

test('the dashboard is one that Grafana can import: each panel has its place and asks one data source', () => {
  const { title, panels, templating } = JSON.parse(readFileSync(document('grafana-dashboard.json'), 'utf8'));
  assert.equal(title, 'Palyra');
  assert.deepEqual(
    templating.list.map(({ name, type, query }: Record<string, string>) => [name, type, query]),
    [['datasource', 'datasource', 'prometheus']],
  );
  const taken = new Set<string>();
  for (const { title: what, datasource, targets, gridPos: at } of panels) {
    for (const asked of [{ datasource }, ...targets])
      assert.equal(asked.datasource.uid, '$' + '{datasource}', what);
    for (let x = at.x; x < at.x + at.w; x += 1)
      for (let y = at.y; y < at.y + at.h; y += 1) {
        assert.ok(x < 24 && !taken.has(`${x} ${y}`), `${what} covers another panel`);
        taken.add(`${x} ${y}`);
      }
  }
});
