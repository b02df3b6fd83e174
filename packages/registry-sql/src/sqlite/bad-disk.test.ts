import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { on, once } from 'node:events';
import { cpSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { DatabaseSync } from 'node:sqlite';
import { describe, type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type BadDisk, onBadDisk, skipBadDisk } from '../../../../tests/testing/bad-disk.ts';
import { builtProgram } from '../../../../tests/testing/built-program.ts';
import { temporaryFolder } from '../../../../tests/testing/temporary-folder.ts';
import { until, within } from '../../../../tests/testing/until.ts';
import type { DiskReport, DiskRequest } from '../testing/disk-writer.ts';
import { openSqliteRegistry } from './open.ts';

const PROGRAM = builtProgram(fileURLToPath(new URL('../testing/disk-writer.ts', import.meta.url)));

describe('a bad disk', { skip: skipBadDisk }, () => {
  test('reads go on while a change waits for the disk, and do not see the change', async (t) => {
    const held = join(temporaryFolder(), 'held');
    const path = newRegistry();
    const writer = await Writer.start(t, path, { held });
    await writer.write(1);
    writeFileSync(held, '');
    writer.send({ write: 2 });
    await until('the second change, committed', () => committedNumber(path) === '2');
    writer.send({ read: 1 });
    assert.deepEqual(await writer.report(), { read: 1, number: '1' });
    writer.send('snapshot');
    writer.send({ read: 2 });
    assert.deepEqual(await writer.report(), { read: 2, number: '1' });
    // Nobody is told of the second change before it is on the disk.
    rmSync(held);
    assert.deepEqual(await writer.report(), { wrote: 2 });
    assert.deepEqual(await writer.report(), { snapshot: '2' });
    writer.send({ read: 3 });
    assert.deepEqual(await writer.report(), { read: 3, number: '2' });
    await writer.close();
  });

  test('the main thread never waits for the disk, also when the log is copied', async (t) => {
    const onMain = join(temporaryFolder(), 'on-main');
    const path = newRegistry();
    const writer = await Writer.start(t, path, { onMain });
    const syncs = () => statSync(onMain).size;
    const before = syncs();
    // The log is copied after some 30 of them.
    for (let number = 1; number <= 100; number += 1) await writer.write(number, 500_000);
    assert.ok(statSync(path).size > 400_000, 'the log was copied');
    assert.equal(syncs(), before);
    await writer.close();
    // The proof that such syncs are counted.
    assert.ok(syncs() > before);
  });

  // syncthing/syncthing#10559, BYK/loreai#1221, openclaw/openclaw#112950.
  test('the log grows under a long read, and is short again after it', async (t) => {
    const path = newRegistry();
    const writer = await Writer.start(t, path, {});
    await writer.write(1);
    const reader = new DatabaseSync(path, { readOnly: true });
    reader.exec('BEGIN; SELECT 1 FROM settings');
    const mib = 1024 * 1024;
    for (let number = 2; number <= 80; number += 1) await writer.write(number, mib);
    assert.ok(statSync(`${path}-wal`).size > 70 * mib);
    reader.close();
    // The next copy comes after another 16 MiB at the latest.
    let number = 80;
    await until('a short log', async () => {
      number += 1;
      await writer.write(number, mib);
      return statSync(`${path}-wal`).size <= 64 * mib;
    });
    assert.ok(number < 120, `${number}`);
    await writer.close();
  });

  test('changes that wait for the disk share the next sync', async (t) => {
    const held = join(temporaryFolder(), 'held');
    const writer = await Writer.start(t, newRegistry(), { held });
    writeFileSync(held, '');
    for (let write = 1; write <= 500; write += 1) writer.send({ write });
    writer.send({ read: 0 });
    assert.deepEqual(await writer.report(), { read: 0, number: null });
    rmSync(held);
    for (let wrote = 1; wrote <= 500; wrote += 1) assert.deepEqual(await writer.report(), { wrote });
    await writer.close();
  });

  test('after a failed sync every change is refused until a restart, and readers see what is durable', async (t) => {
    const broken = join(temporaryFolder(), 'broken');
    const path = newRegistry();
    const writer = await Writer.start(t, path, { broken });
    await writer.write(1);
    writeFileSync(broken, '');
    writer.send({ write: 2 });
    assert.deepEqual(await writer.report(), { refused: 2, code: 'STORE_OUTCOME_UNKNOWN' });
    rmSync(broken);
    for (const write of [3, 4]) {
      writer.send({ write });
      assert.deepEqual(await writer.report(), { refused: write, code: 'STORE_FAILED' });
      writer.send({ read: write });
      assert.deepEqual(await writer.report(), { read: write, number: '1' });
    }
    await writer.close();

    const again = await Writer.start(t, path, { broken });
    again.send({ read: 5 });
    const found = await again.report();
    assert.ok(typeof found === 'object' && 'number' in found && ['1', '2'].includes(found.number ?? ''));
    await again.write(6);
    await again.close();
  });

  for (const who of ['start', 'reader'] as const) {
    test(`a ${who} makes durable what a killed process left in the log`, async (t) => {
      const path = newRegistry();
      const held = join(temporaryFolder(), 'held');
      const synced = temporaryFolder();
      const writer = await Writer.start(t, path, { held, synced });
      await writer.write(1);
      writeFileSync(held, '');
      writer.send({ write: 2 });
      await until('the second change, committed', () => committedNumber(path) === '2');
      await writer.kill();
      assert.equal(await numberAfterPowerCut(synced), '1');

      const next = await Writer.start(t, path, { synced }, who === 'reader' ? 'look' : 'write');
      next.send({ read: 0 });
      assert.deepEqual(await next.report(), { read: 0, number: '2' });
      await next.kill();
      assert.equal(await numberAfterPowerCut(synced), '2');
    });
  }
});

/** What SQLite shows to other processes. */
function committedNumber(path: string): unknown {
  const raw = new DatabaseSync(path, { readOnly: true });
  try {
    return raw.prepare("SELECT value FROM settings WHERE name = 'number'").get()?.value;
  } finally {
    raw.close();
  }
}

/** What a start finds on the disk alone. */
async function numberAfterPowerCut(synced: string): Promise<string | undefined> {
  const copy = temporaryFolder();
  cpSync(synced, copy, { recursive: true });
  const registry = await openSqliteRegistry({ path: join(copy, 'registry.sqlite') });
  const number = await registry.setting('number');
  await registry.close();
  return number;
}

function newRegistry(): string {
  return join(temporaryFolder(), 'registry.sqlite');
}

/** A process with a registry on a bad disk. */
class Writer {
  readonly #child: ChildProcess;
  readonly #reports: AsyncIterator<DiskReport[], undefined>;

  static async start(t: TestContext, path: string, disk: BadDisk, how = 'write'): Promise<Writer> {
    const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', PROGRAM, path, how], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      env: { ...process.env, ...onBadDisk(disk) },
    });
    t.after(() => child.kill('SIGKILL'));
    const writer = new Writer(child);
    assert.equal(await writer.report(), 'open');
    return writer;
  }

  private constructor(child: ChildProcess) {
    this.#child = child;
    this.#reports = on(child, 'message');
  }

  send(request: DiskRequest): void {
    this.#child.send(request);
  }

  async report(): Promise<DiskReport> {
    const { value } = await within('a report of the process', this.#reports.next());
    assert.ok(value?.[0]);
    return value[0];
  }

  async write(number: number, bytes = 0): Promise<void> {
    this.send({ write: number, bytes });
    assert.deepEqual(await this.report(), { wrote: number });
  }

  async close(): Promise<void> {
    const ended = once(this.#child, 'exit');
    this.send('close');
    assert.deepEqual(await within('the end of the process', ended), [0, null]);
  }

  async kill(): Promise<void> {
    const ended = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await within('the end of the process', ended);
  }
}
