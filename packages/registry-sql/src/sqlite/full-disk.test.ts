import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtemp, rm, rmdir, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { hasCode } from '@palyra/identity';
import { type Registry, verifyAuditChain } from '@palyra/identity/registry';
import { sampleEvent, sampleUlid } from '../testing/samples.ts';
import { sha256Hex } from '../testing/sha256.ts';
import { openSqliteRegistry } from './open.ts';

const DISK_BYTES = 4 * 1024 * 1024;
const VALUE = 'x'.repeat(20_000);

test('a full disk is STORE_FULL, nothing is lost, and the registry works again once there is space', async (t) => {
  const folder = await smallDisk(t);
  if (folder === undefined) return;
  const path = join(folder, 'registry.sqlite');
  const filler = join(folder, 'filler');
  const registry = await openSqliteRegistry({ path });
  await writeFile(filler, Buffer.alloc(DISK_BYTES / 2));

  let told = 0;
  registry.subscribe(() => {
    told += 1;
  });
  const written = await writeUntilFull(registry, 0);
  assert.ok(written > 0);
  await holds(registry, written);
  // The disk is still full, and there are still no partial changes.
  await assert.rejects(write(registry, written), isFull);
  await holds(registry, written);
  assert.equal(told, written);

  await rm(filler);
  await write(registry, written);
  const more = await writeUntilFull(registry, written + 1);
  await holds(registry, more);
  await registry.close();

  const reopened = await openSqliteRegistry({ path });
  await holds(reopened, more);
  await reopened.close();
});

test('on a disk that fills up, simultaneous changes either succeed or are STORE_FULL', async (t) => {
  const folder = await smallDisk(t);
  if (folder === undefined) return;
  const path = join(folder, 'registry.sqlite');
  const registry = await openSqliteRegistry({ path });
  const change = (number: number) =>
    registry.transact(async (tx) => {
      await tx.appendAudit(sampleEvent());
      await tx.putSetting(`value ${number}`, VALUE);
    });
  const outcomes = await Promise.allSettled(Array.from({ length: 300 }, (_, number) => change(number)));
  await registry.close();
  const reopened = await openSqliteRegistry({ path });
  let made = 0;
  for (const [number, outcome] of outcomes.entries()) {
    const isMade = outcome.status === 'fulfilled';
    made += isMade ? 1 : 0;
    if (!isMade) isFull(outcome.reason);
    assert.equal(await reopened.setting(`value ${number}`), isMade ? VALUE : undefined);
  }
  assert.ok(made > 0 && made < 300);
  const head = await reopened.auditHead();
  assert.equal(head.seq, made);
  assert.equal((await verifyAuditChain(reopened.auditRows(), head, sha256Hex)).ok, true);
  await reopened.close();
});

test('a registry that cannot be created on a full disk is STORE_FULL', async (t) => {
  const folder = await smallDisk(t);
  if (folder === undefined) return;
  await writeFile(join(folder, 'filler'), Buffer.alloc(DISK_BYTES - 8192));
  await assert.rejects(openSqliteRegistry({ path: join(folder, 'registry.sqlite') }), isFull);
  await rm(join(folder, 'filler'));
  await (await openSqliteRegistry({ path: join(folder, 'registry.sqlite') })).close();
});

async function write(registry: Registry, number: number): Promise<void> {
  await registry.transact(async (tx) => {
    await tx.putSetting('written', String(number + 1));
    await tx.appendAudit(sampleEvent());
    await tx.putSetting(`value ${number}`, VALUE);
    tx.emit({ type: 'device_revoked', deviceId: sampleUlid(), reason: '' });
  });
}

/** Returns how many changes were acknowledged, those from 0 to `from` included. */
async function writeUntilFull(registry: Registry, from: number): Promise<number> {
  for (let number = from; number < from + 1000; number += 1) {
    try {
      await write(registry, number);
    } catch (error) {
      if (isFull(error)) return number;
    }
  }
  throw new Error('the disk never became full');
}

async function holds(registry: Registry, written: number): Promise<void> {
  assert.equal(await registry.setting('written'), String(written));
  for (let number = 0; number < written; number += 1) {
    assert.equal(await registry.setting(`value ${number}`), VALUE);
  }
  assert.equal(await registry.setting(`value ${written}`), undefined);
  const head = await registry.auditHead();
  assert.equal(head.seq, written);
  assert.equal((await verifyAuditChain(registry.auditRows(), head, sha256Hex)).ok, true);
}

function isFull(error: unknown): boolean {
  if (!hasCode(error, 'STORE_FULL')) throw error;
  assert.match(error.message, /Free some space/);
  assert.ok(error.cause instanceof Error);
  return true;
}

/** A separate disk. Undefined, with a message, where this user may not mount one. */
async function smallDisk(t: TestContext): Promise<string | undefined> {
  const folder = await mkdtemp(join(tmpdir(), 'palyra-small-disk-'));
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${DISK_BYTES},mode=0700`, 'tmpfs', folder], {
      stdio: 'pipe',
    });
  } catch (error) {
    await rmdir(folder);
    t.skip(
      `NOT TESTED: a full disk needs a small tmpfs, and mounting one failed (be root, on Linux): ${error}`,
    );
    return undefined;
  }
  t.after(async () => {
    // A lazy unmount, because a failed test may have left the registry open.
    execFileSync('umount', ['--lazy', folder]);
    await rmdir(folder);
  });
  return folder;
}
