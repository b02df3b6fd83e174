// Test program of permissions.test.ts: uses a store whose folder this process may read but not write.

import { chmodSync, chownSync, readdirSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import process from 'node:process';
import { FilesystemSecretStore } from '../filesystem.ts';
import { MasterKey } from '../master-key.ts';
import { bytes } from './secret-store-suite.ts';

const path = process.argv[2]!;
const masterKey = new MasterKey(bytes(32));
const nobody = 65534;
const steps = process.geteuid?.() === 0;

for (const entry of ['', ...readdirSync(path, { recursive: true, encoding: 'utf8' })]) {
  const at = join(path, entry);
  if (steps) chownSync(at, nobody, nobody);
  chmodSync(at, statSync(at).isDirectory() ? 0o500 : 0o600);
}
if (steps) {
  chownSync(dirname(path), nobody, nobody);
  process.setegid?.(nobody);
  process.seteuid?.(nobody);
}

const store = await FilesystemSecretStore.open({ path, masterKey });
const say = (what: string) => (error: Error & { code: string }) =>
  console.log(what, error.code, error.message);
await store.write('ca/root', bytes(1)).catch(say('write'));
await store.delete('ca/root').catch(say('delete'));
console.log('read', (await store.read('ca/root')).length);
const inside = join(path, 'inside');
await FilesystemSecretStore.open({ path: inside, masterKey }).catch(say('open'));
// The process that made the folders must remove them.
if (steps) process.seteuid?.(0);
for (const entry of ['', ...readdirSync(path, { recursive: true, encoding: 'utf8' })]) {
  const at = join(path, entry);
  if (statSync(at).isDirectory()) chmodSync(at, 0o700);
}
