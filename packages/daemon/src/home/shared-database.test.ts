// What a daemon of a fleet remembers in its home. The disk is slow here, so that announcements meet.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { onBadDisk } from '../../../../tests/testing/bad-disk.ts';
import { FleetForTests, missingPostgres } from '../../../../tests/testing/fleet.ts';
import { temporaryFolder } from '../../../../tests/testing/temporary-folder.ts';
import { readFleetFile } from './fleet-file.ts';
import { daemonPaths } from './paths.ts';

const announcing = `
const [opening, paths, samples, home, given] = process.argv.slice(1);
const { openSharedDatabase } = await import(opening);
const { daemonPaths } = await import(paths);
const { sampleEvent } = await import(samples);
const { registry, fleet, secrets } = await openSharedDatabase(daemonPaths(home), JSON.parse(given), (error) => { throw error; });
const endpoints = { pairing: [], node: [], quic: [], web: [] };
const self = { version: '1.0.0', endpoints, peerAddresses: [], certificates: [], connections: {}, names: [], startedAt: new Date() };
const announced = [];
for (let round = 0; round < 8; round += 1) {
  await registry.transact((tx) => tx.appendAudit(sampleEvent()));
  announced.push(fleet.announce(self));
}
await Promise.all(announced);
console.log(JSON.stringify(await registry.auditHead()));
await secrets.close();
await registry.close();
`;

const fleet = missingPostgres ? undefined : new FleetForTests();

test('announcements at the same time write the memory of a daemon one after the other', {
  skip: missingPostgres,
}, async (t) => {
  const { registry, masterKey } = await fleet!.settings();
  const home = temporaryFolder();
  mkdirSync(join(home, 'daemon'), { mode: 0o700 });
  const module = (name: string) => new URL(name, import.meta.url).href;
  const modules = ['shared-database.ts', 'paths.ts', '../../../registry-sql/src/testing/samples.ts'].map(
    module,
  );
  const child = spawn(
    process.execPath,
    [
      '--input-type=module',
      '-e',
      announcing,
      ...modules,
      home,
      JSON.stringify({ registry: { listen: true, ...registry }, masterKey }),
    ],
    { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...onBadDisk({ syncMs: 20 }) } },
  );
  t.after(() => child.kill('SIGKILL'));
  const [said, complaint, [code]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'exit'),
  ]);
  assert.equal(code, 0, complaint);
  assert.deepEqual((await remembered(home)).seen, JSON.parse(said));
});

async function remembered(home: string) {
  const memory = await readFleetFile(daemonPaths(home));
  return memory ?? assert.fail('nothing is remembered');
}
