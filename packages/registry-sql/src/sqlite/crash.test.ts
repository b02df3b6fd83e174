import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { cpSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { createInterface } from 'node:readline';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { verifyAuditChain } from '@palyra/identity/registry';
import { onBadDisk, skipBadDisk } from '../../../../tests/testing/bad-disk.ts';
import { builtProgram } from '../../../../tests/testing/built-program.ts';
import { Random } from '../../../../tests/testing/random.ts';
import { temporaryFolder } from '../../../../tests/testing/temporary-folder.ts';
import { sha256Hex } from '../testing/sha256.ts';
import { openSqliteRegistry } from './open.ts';

const WRITER = builtProgram(fileURLToPath(new URL('../testing/crash-writer.ts', import.meta.url)));
/** The smallest part of a disk that is written as a whole. */
const SECTOR_BYTES = 512;

test('a killed process loses no acknowledged change and leaves no partial change', async () => {
  for (const kills of [1, 200]) {
    const folder = temporaryFolder();
    await holds(folder, await writeUntilKilled(folder, { kills }));
  }
});

test('a power cut loses no acknowledged change, whatever else of the last writes reached the disk', {
  skip: skipBadDisk,
}, async (t) => {
  const seed = randomInt(2 ** 32);
  t.diagnostic(`seed ${seed}`);
  const random = new Random(seed);
  // The log is copied into the database after some 40 of these changes, and begins anew.
  for (const kills of [3, 41 + random.below(60)]) {
    const [written, synced] = [temporaryFolder(), temporaryFolder()];
    const env = onBadDisk({ synced });
    const acknowledged = await writeUntilKilled(written, { kills, length: 400_000, env });
    await holds(copyOf(synced), acknowledged);
    for (let cut = 0; cut < 6; cut += 1) {
      const share = random.next();
      const left = copyOf(synced);
      for (const name of ['registry.sqlite', 'registry.sqlite-wal'])
        mix(join(left, name), join(written, name), () => random.chance(share));
      await holds(left, acknowledged);
    }
  }
});

/** @returns the number of acknowledged changes. */
async function writeUntilKilled(
  folder: string,
  { kills, length = 0, env = {} }: { kills: number; length?: number; env?: NodeJS.ProcessEnv },
): Promise<number> {
  const path = join(folder, 'registry.sqlite');
  const node = ['--disable-warning=ExperimentalWarning', WRITER, path, String(length)];
  const writer = spawn(process.execPath, node, {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, ...env },
  });
  const exited = once(writer, 'exit');
  let acknowledged = 0;
  for await (const line of createInterface({ input: writer.stdout })) {
    acknowledged = Number(line);
    if (acknowledged >= kills) writer.kill('SIGKILL');
  }
  assert.deepEqual(await exited, [null, 'SIGKILL']);
  assert.ok(acknowledged >= kills);
  return acknowledged;
}

async function holds(folder: string, acknowledged: number): Promise<void> {
  const path = join(folder, 'registry.sqlite');
  const registry = await openSqliteRegistry({ path });
  const written = Number(await registry.setting('number'));
  // The last change can be stored without having been acknowledged yet.
  assert.ok(written === acknowledged || written === acknowledged + 1, `${written} of ${acknowledged}`);
  assert.equal((await registry.counts()).devices, written);
  assert.equal((await registry.devices({ limit: written + 10 })).length, written);
  const head = await registry.auditHead();
  assert.equal(head.seq, written);
  assert.equal((await verifyAuditChain(registry.auditRows(), head, sha256Hex)).ok, true);
  await registry.close();
  const raw = new DatabaseSync(path);
  assert.deepEqual({ ...raw.prepare('PRAGMA integrity_check').get() }, { integrity_check: 'ok' });
  raw.close();
}

function copyOf(folder: string): string {
  const copy = temporaryFolder();
  cpSync(folder, copy, { recursive: true });
  return copy;
}

/** Of what was written after the last sync, the disk has the sectors for which `has` is true. */
function mix(path: string, writtenPath: string, has: () => boolean): void {
  const written = readFileSync(writtenPath);
  const synced = existsSync(path) ? readFileSync(path) : Buffer.alloc(0);
  const mixed = Buffer.alloc(Math.max(written.length, synced.length));
  synced.copy(mixed);
  for (let at = 0; at < written.length; at += SECTOR_BYTES)
    if (has()) written.copy(mixed, at, at, at + SECTOR_BYTES);
  writeFileSync(path, mixed);
}
