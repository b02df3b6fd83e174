// Kills a real process at every point of a write, of a rekey and of the open that repairs the store: not at random,
// but before each call that changes the disk, until one run completes.

import { deepEqual, equal, ok, rejects } from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import { type TestContext, test } from 'node:test';
import { builtProgram } from '../../../../tests/testing/built-program.ts';
import { temporaryFolder as sharedFolder } from '../../../../tests/testing/temporary-folder.ts';
import { FilesystemSecretStore } from './filesystem.ts';
import { masterKeyFromFile } from './key-file.ts';
import { bytes } from './testing/secret-store-suite.ts';
import { temporaryFolder } from './testing/temporary-store.ts';

// About fifty processes start. They share the code that the first one compiled.
const compiled = sharedFolder();

const names = ['ca/issuing', 'ca/root', 'daemon/tls', 'empty'];

async function makeStore(t: TestContext) {
  const folder = await temporaryFolder(t);
  const path = join(folder, 'store');
  const keyPath = join(folder, 'keys', 'master');
  const store = await open(path, keyPath);
  for (const name of names) await store.write(name, secretOf(name));
  await store.close();
  equal(runKilled('open', { path, keyPath }, Number.POSITIVE_INFINITY), true);
  return { path, keyPath };
}

async function open(path: string, keyPath: string): Promise<FilesystemSecretStore> {
  return FilesystemSecretStore.open({ path, masterKey: await masterKeyFromFile({ path: keyPath }) });
}

function secretOf(name: string): Uint8Array {
  return name === 'empty' ? new Uint8Array(0) : bytes(name.length * 10);
}

/** Runs killed-program.ts, which dies before its nth change of the disk. True when it completed instead. */
function runKilled(operation: string, at: { path: string; keyPath: string }, n: number): boolean {
  const program = builtProgram(join(import.meta.dirname, 'testing/killed-program.ts'));
  const child = spawnSync(
    process.execPath,
    ['--disable-warning=ExperimentalWarning', program, operation, at.path, at.keyPath, String(n)],
    { encoding: 'utf8', env: { ...process.env, NODE_COMPILE_CACHE: compiled } },
  );
  equal(child.stderr, '');
  if (child.status === 0) return true;
  equal(child.signal, 'SIGKILL');
  return false;
}

/** All secrets are there, sealed under the installed key, and no other files. */
async function checkWhole(
  at: { path: string; keyPath: string },
  expected: Map<string, Uint8Array>,
): Promise<void> {
  const key = await masterKeyFromFile({ path: at.keyPath });
  const store = await FilesystemSecretStore.open({ path: at.path, masterKey: key });
  deepEqual(await store.list(), [...expected.keys()]);
  for (const [name, secret] of expected) deepEqual(await store.read(name), secret, name);
  await store.close();
  deepEqual((await readdir(at.path)).sort(), [key.id, 'lock'].sort());
  const files = await readdir(join(at.path, key.id));
  equal(files.length, expected.size);
  ok(files.every((file) => /^[0-9a-f]{64}$/.test(file)));
}

const whole = new Map(names.map((name) => [name, secretOf(name)]));

test('a write killed at any point leaves the old secret or the new one, and no temporary file', async (t) => {
  const at = await makeStore(t);
  const seen = new Set<string>();
  let n = 0;
  for (let through = false; !through; n += 1) {
    through = runKilled('write', at, n);
    const key = await masterKeyFromFile({ path: at.keyPath });
    const temps = (await readdir(join(at.path, key.id))).filter((file) => file.endsWith('.tmp')).length;
    const store = await open(at.path, at.keyPath);
    const kept = Buffer.from(await store.read('ca/root')).toString();
    const isNew = kept === 'written by the killed program';
    if (!isNew) deepEqual(await store.read('ca/root'), secretOf('ca/root'));
    seen.add(`${isNew ? 'new' : 'old'}, ${temps} temp`);
    await store.write('ca/root', secretOf('ca/root'));
    await store.close();
    await checkWhole(at, whole);
  }
  deepEqual([...seen], ['old, 0 temp', 'old, 1 temp', 'new, 0 temp']);
});

test('a rekey killed at any point loses nothing, even if the next open is killed too', async (t) => {
  const at = await makeStore(t);
  const keys = new Set([await readFile(at.keyPath, 'hex')]);
  const leftovers = new Map<string, number>();
  let points = 0;
  for (let through = false; !through; points += 1) {
    through = runKilled('rekey', at, points);
    keys.add(await readFile(at.keyPath, 'hex'));
    const left = await describe(at);
    if (!leftovers.has(left)) leftovers.set(left, await killOpens(t, at));
    await checkWhole(at, whole);
  }
  t.diagnostic(`rekey killed at ${points - 1} points, then the open: ${JSON.stringify([...leftovers])}`);
  deepEqual(
    [...leftovers.keys()],
    ['installed', 'installed other.building', 'installed other', 'installed other.removed'],
  );
  // Some killed run had installed its key, so the test covered both sides of the switch.
  ok(keys.size > 2 && keys.size < points, `${points} runs, ${keys.size} keys`);
});

/** The generations of secrets, relative to the key file. */
async function describe(at: { path: string; keyPath: string }): Promise<string> {
  const { id } = await masterKeyFromFile({ path: at.keyPath });
  const generations = (await readdir(at.path)).filter((entry) => entry !== 'lock');
  return generations
    .map((entry) => (entry.startsWith(id) ? 'installed' : 'other') + entry.slice(id.length))
    .sort()
    .join(' ');
}

/** Opens copies of the store, killed at every point. @returns the number of points. */
async function killOpens(t: TestContext, at: { path: string; keyPath: string }): Promise<number> {
  for (let n = 0; ; n += 1) {
    const path = join(await temporaryFolder(t), 'copy');
    execFileSync('cp', ['-a', at.path, path]);
    const through = runKilled('open', { ...at, path }, n);
    await checkWhole({ ...at, path }, whole);
    if (through) return n;
  }
}

test('a killed process leaves no lock', async (t) => {
  const at = await makeStore(t);
  equal(runKilled('rekey', at, 3), false);
  const store = await open(at.path, at.keyPath);
  await store.rekey({ masterKey: await masterKeyFromFile({ path: join(at.path, '..', 'another') }) });
  deepEqual(await store.list(), names);
  await store.close();
  await rejects(open(at.path, at.keyPath), { code: 'MASTER_KEY_WRONG' });
});
