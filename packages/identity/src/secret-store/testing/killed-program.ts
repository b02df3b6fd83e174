// Test program of crash.test.ts: runs one operation on a store and kills itself with SIGKILL before the nth call that
// changes the disk. The calls are the real ones; they are only counted.

import fs from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import process from 'node:process';

const [operation, path = '', keyPath = '', n] = process.argv.slice(2);
let left = Number.POSITIVE_INFINITY;

function counted<A extends unknown[], R>(call: (...args: A) => R): (...args: A) => R {
  return function (this: unknown, ...args: A): R {
    if (left === 0) process.kill(process.pid, 'SIGKILL');
    left -= 1;
    return call.apply(this, args);
  };
}

type Calls = Record<string, (...args: unknown[]) => unknown>;
function countAll(calls: Calls, names: string[]): void {
  for (const name of names) calls[name] = counted(calls[name]!);
}

const handle = await fs.open('/dev/null');
countAll(Object.getPrototypeOf(handle), ['writeFile', 'sync']);
await handle.close();
countAll(fs as unknown as Calls, ['link', 'mkdir', 'rename', 'rm', 'unlink']);
const open = fs.open;
const countedOpen = counted(open);
fs.open = (path, flags, mode) => (flags === 'wx' ? countedOpen : open)(path, flags, mode);
syncBuiltinESMExports();

const { FilesystemSecretStore } = await import('../filesystem.ts');
const { masterKeyFromFile, nextMasterKeyForFile } = await import('../key-file.ts');

const masterKey = await masterKeyFromFile({ path: keyPath });
if (operation === 'open') left = Number(n);
const store = await FilesystemSecretStore.open({ path, masterKey });
left = Number(n);
if (operation === 'write')
  await store.write('ca/root', new TextEncoder().encode('written by the killed program'));
if (operation === 'rekey') await store.rekey(nextMasterKeyForFile({ path: keyPath }));
process.exit(0);
