import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, rmSync, statSync, symlinkSync } from 'node:fs';
import { createInterface } from 'node:readline';
import test, { type TestContext } from 'node:test';
import { makePrivateFolder } from './private-folder.ts';

const skip =
  process.platform === 'linux'
    ? false
    : 'NOT TESTED: /proc, which identifies processes, exists only on Linux';
const module = new URL('./private-folder.ts', import.meta.url).href;

function make(t: TestContext): string {
  const path = makePrivateFolder();
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** A process that has made a private folder, and the folder's path. */
async function otherProcess(t: TestContext) {
  const script = `
    const { makePrivateFolder } = await import(${JSON.stringify(module)});
    console.log(makePrivateFolder());
    setInterval(() => {}, 1000);
  `;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script]);
  t.after(() => child.kill('SIGKILL'));
  const [path] = (await once(createInterface(child.stdout), 'line')) as [string];
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return { child, path };
}

test('the next process removes the folder of a killed process, and keeps the folder of a live process', {
  skip,
}, async (t) => {
  const [dead, alive] = [await otherProcess(t), await otherProcess(t)];
  mkdirSync(`${dead.path}/scratch`);
  dead.child.kill('SIGKILL');
  await once(dead.child, 'exit');
  assert.ok(existsSync(dead.path), 'a killed process removes nothing itself');
  const mine = make(t);
  assert.equal(existsSync(dead.path), false);
  assert.ok(existsSync(alive.path) && existsSync(mine));
  assert.equal(statSync(mine).mode & 0o777, 0o700);
});

test('the folder of a dead process is removed although another process has its id', { skip }, (t) => {
  const mine = make(t);
  // Named like this process's folder, but with another start time.
  const before = mine.replace(/-(\d+)-\w{6}$/, '-1-abcdef');
  mkdirSync(before);
  t.after(() => rmSync(before, { recursive: true, force: true }));
  make(t);
  assert.equal(existsSync(before), false);
  assert.ok(existsSync(mine));
});

test('nothing else is removed: no link, and no folder of another namespace or name', {
  skip,
}, (t) => {
  const mine = make(t);
  const target = `${mine}/target`;
  mkdirSync(target);
  const link = mine.replace(/-(\d+)-\w{6}$/, '-1-uvwxyz');
  const foreign = mine.replace(/palyra-quic-\d+-/, 'palyra-quic-1-');
  const other = mine.replace(/-(\d+)-\w{6}$/, '-1-more-abcdef');
  symlinkSync(target, link);
  for (const path of [foreign, other]) mkdirSync(path);
  t.after(() => {
    for (const path of [link, foreign, other]) rmSync(path, { recursive: true, force: true });
  });
  make(t);
  for (const path of [target, link, foreign, other]) assert.ok(existsSync(path), path);
});
