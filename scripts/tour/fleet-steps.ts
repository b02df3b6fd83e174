// The steps of the tour of a fleet (docs/fleet.md), in order.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createClient } from '@connectrpc/connect';
import { loadEnrollments, type PairedEnrollment } from '@palyra/identity/device';
import { dialNode, NodeService } from '@palyra/rpc';
import { DaemonProcess } from '../../tests/testing/daemon-process.ts';
import { freePort } from '../../tests/testing/free-port.ts';
import { answer, configure, failure, PalyraProcess, palyra } from '../../tests/testing/palyra-process.ts';
import { PostgresServer } from '../../tests/testing/postgres.ts';
import { until } from '../../tests/testing/until.ts';
import type { FleetScene, Member } from './fleet-scene.ts';
import { openDeviceStore } from './scene.ts';
import type { Step } from './steps.ts';

export const fleetSteps: readonly Step<FleetScene>[] = [
  {
    name: 'PostgreSQL starts',
    async play(scene) {
      scene.server = await PostgresServer.start();
      scene.after(() => scene.server.stop());
      scene.url = await scene.server.database();
      const [row] = await scene.server.sql(scene.url, 'show server_version');
      return `version ${row?.server_version}, in a folder of its own, with an empty database`;
    },
  },
  {
    name: 'three daemons start at the same moment',
    async play(scene) {
      const [urlFile, key] = [scene.homeOf('url'), scene.homeOf('master.key')];
      writeFileSync(urlFile, scene.url, { mode: 0o600 });
      writeFileSync(key, randomBytes(32), { mode: 0o600 });
      const names = ['a', 'b', 'c'];
      const ports = await Promise.all(names.map(() => Promise.all([freePort(), freePort()])));
      const places = (index: 0 | 1) => ports.map((each) => `127.0.0.1:${each[index]}`);
      scene.members = await Promise.all(
        names.map(async (name, index) => {
          const [pairing, node] = ports[index]!;
          const home = scene.homeOf(name);
          await configure(home, {
            pairing: { host: '127.0.0.1', port: pairing },
            node: { host: '127.0.0.1', port: node },
            quic: { enabled: false },
            endpoints: { pairing: places(0), node: places(1) },
            registry: { from: 'postgres', urlFile },
            masterKey: { from: 'key-file', path: key },
          });
          return { name, home, daemon: await DaemonProcess.start(scene, { home }) };
        }),
      );
      const [first, ...others] = scene.members.map(({ daemon }) => daemon);
      for (const { rootFingerprint } of others) assert.equal(rootFingerprint, first!.rootFingerprint);
      const { home } = scene.members[0]!;
      const { audit } = await auditOf(home);
      assert.equal(audit.filter(({ action }) => action === 'daemon.created').length, 1);
      return `one of them set the database up: ${first!.trustDomain}, one root for all three`;
    },
  },
  {
    name: 'pair at one daemon, approve at another',
    async play(scene) {
      const [a, b, c] = scene.members as [Member, Member, Member];
      const { code } = await answer(['pairing', 'code'], { home: a.home });
      const words = ['pair', b.daemon.pairingAddress, '--code-stdin', '--kind', 'node', '--name', 'sensor'];
      const pair = PalyraProcess.start(words, { home: scene.deviceHome, stdin: code });
      scene.after(async () => void (await pair.end('SIGKILL')));
      const { request_id: requestId } = await pair.line(({ event }) => event === 'words');
      await answer(['pairing', 'approve', requestId], { home: c.home });
      const { exitCode, lines, stderr } = await pair.ended;
      assert.equal(exitCode, 0, stderr);
      scene.deviceId = lines.at(-1)!.device_id;
      return `code of ${a.name}, handshake with ${b.name}, decision at ${c.name}: ${scene.deviceId}`;
    },
  },
  {
    name: 'the device connects',
    async play(scene) {
      scene.agent = PalyraProcess.start(['node', 'run'], { home: scene.deviceHome });
      scene.after(async () => void (await scene.agent.end('SIGKILL')));
      await scene.agent.line(({ event }) => event === 'connected');
      scene.killed = await channelAt(scene, scene.members);
      return `its channel is at ${scene.killed.name}`;
    },
  },
  {
    name: 'a capability run asked at another daemon',
    async play(scene) {
      const [other] = scene.living as [Member];
      const run = await answer(['node', 'exec', scene.deviceId, 'system.info'], { home: other.home });
      return `asked at ${other.name}, run over the channel at ${scene.killed.name} in ${run.elapsed_ms} ms`;
    },
  },
  {
    name: 'that daemon is killed, and the device is back at another one',
    async play(scene) {
      const startedAt = performance.now();
      const back = scene.agent.line(({ event }) => event === 'connected');
      await scene.killed.daemon.kill();
      await back;
      const ms = Math.round(performance.now() - startedAt);
      assert.ok(ms < 5_000, `${ms} ms`);
      const { name, home } = await channelAt(scene, scene.living);
      await answer(['node', 'exec', scene.deviceId, 'system.info'], { home });
      return `back at ${name} ${ms} ms after ${scene.killed.name} was killed`;
    },
  },
  {
    name: 'a revocation at one daemon holds at the other one',
    async play(scene) {
      const [at, other] = scene.living as [Member, Member];
      const enrollment = await enrollmentOf(scene);
      const live = await Promise.all(
        scene.living.map(({ daemon }) => dialNode(daemon.nodeAddress, enrollment)),
      );
      for (const { transport } of live) await createClient(NodeService, transport).status({});
      const admin = await at.daemon.admin();
      const closings = live.map(({ closed }) => closed.then(() => performance.now()));
      await admin.revokeDevice({ id: scene.deviceId, reason: 'lost on the train' });
      const acknowledgedAt = performance.now();
      const closed = (await Promise.all(closings)).map((ms) => Math.max(0, ms - acknowledgedAt).toFixed(1));
      const refused = await dialNode(other.daemon.nodeAddress, enrollment)
        .then(({ transport }) => createClient(NodeService, transport).status({}))
        .catch((error: unknown) => error);
      assert.ok(refused instanceof Error, 'a call after the acknowledgement was accepted');
      const { lines } = await scene.agent.ended;
      assert.equal(lines.at(-1)!.error?.code, 'DEVICE_REVOKED');
      return `revoked at ${at.name}. Idle connections closed ${closed.join(' and ')} ms after the acknowledgement; the agent received the reason and stopped`;
    },
  },
  {
    name: 'the killed daemon returns, and refuses the device as well',
    async play(scene) {
      scene.killed.daemon = await DaemonProcess.start(scene, { home: scene.killed.home });
      const call = palyra(['node', 'status'], { home: scene.deviceHome });
      const message = await failure(call, { code: 'DEVICE_REVOKED', exitCode: 3 });
      const { decision } = await answer(['why', scene.deviceId], { home: scene.killed.home });
      assert.equal(decision, 'refused');
      return `${message} [DEVICE_REVOKED, exit code 3]`;
    },
  },
  {
    name: 'one audit for all of them',
    async play({ members }) {
      const verified = await Promise.all(members.map(({ home }) => answer(['audit', 'verify'], { home })));
      const hashes = new Set(verified.map((each) => each.head_hash));
      assert.equal(hashes.size, 1);
      return `intact, with the same last hash at all three: ${[...hashes][0]}`;
    },
  },
];

async function auditOf(home: string): Promise<{ audit: { action: string }[] }> {
  const listed = await answer(['audit', 'list', '--limit', '100'], { home });
  return { audit: listed.entries };
}

/** The daemon that has the channel of the device. */
async function channelAt({ server, url }: FleetScene, among: readonly Member[]): Promise<Member> {
  return until('a daemon has the channel', async () => {
    const rows = await server.sql(url, 'select daemon from channels');
    return among.find(({ home }) => {
      const { daemon } = JSON.parse(readFileSync(join(home, 'daemon', 'fleet.json'), 'utf8'));
      return rows.some((row) => row.daemon === daemon);
    });
  });
}

async function enrollmentOf({ deviceHome }: FleetScene): Promise<PairedEnrollment> {
  const store = await openDeviceStore(deviceHome);
  try {
    const paired = (await loadEnrollments(store)).find((each) => each.state === 'paired');
    assert.ok(paired, 'the device has stored no certificate');
    return paired;
  } finally {
    await store.close();
  }
}
