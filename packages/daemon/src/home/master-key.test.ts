import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { chmod, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { hasCode, type IdentityErrorCode } from '@palyra/identity';
import { temporaryFolder } from '../../../../tests/testing/temporary-folder.ts';
import { readPassphrase } from './master-key.ts';

async function file(content: string | Uint8Array, mode = 0o600): Promise<string> {
  const folder = temporaryFolder();
  const path = join(folder, 'passphrase');
  await writeFile(path, content);
  await chmod(path, mode);
  return path;
}

async function refused(path: string, code: IdentityErrorCode, saying: RegExp): Promise<void> {
  await assert.rejects(readPassphrase(path), (error) => hasCode(error, code) && saying.test(error.message));
}

test('a passphrase file has exactly one line', async () => {
  assert.equal(
    await readPassphrase(await file('correct horse battery staple\n')),
    'correct horse battery staple',
  );
  assert.equal(await readPassphrase(await file('Pfälzer Saumagen\r\n')), 'Pfälzer Saumagen');
  assert.equal(await readPassphrase(await file('x'.repeat(1024))), 'x'.repeat(1024));
  assert.equal(await readPassphrase(await file('as systemd gives it', 0o440)), 'as systemd gives it');
});

test('a passphrase that is read once may come through a pipe, even late; one that is read again may not', async () => {
  const script = `
    import { readPassphrase } from ${JSON.stringify(import.meta.resolve('./master-key.ts'))};
    const read = (...args) => readPassphrase(...args).catch(({ code, message }) => code + ': ' + message);
    console.log(await read('/dev/stdin'));
    const late = read('/dev/stdin', { mayBePipe: true });
    console.log('waits');
    console.log(await late);
    console.log(await read('/dev/fd/5', { mayBePipe: true }));
  `;
  // Of the shell, because a pipe that Node makes for a child is a socket.
  const shell = 'cat | "$0" --input-type=module --eval "$1" 5< "$2"';
  const open = await file('from a file', 0o644);
  const child = spawn('sh', ['-c', shell, process.execPath, script, open], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const said: string[] = [];
  for await (const line of createInterface(child.stdout)) {
    said.push(line);
    if (line === 'waits') child.stdin.end('correct horse\n');
  }
  assert.deepEqual(said, [
    'STORE_PERMISSIONS: /dev/stdin is a pipe, which can be read only once. Name a file.',
    'waits',
    'correct horse',
    `STORE_PERMISSIONS: Other users may read or write the secret ${open}. Check its contents, then run: chmod g-w,o= ${open}`,
  ]);
});

test('a passphrase file that others can read, or with invalid contents, is refused with the repair', async () => {
  await refused(await file('seen by all', 0o644), 'STORE_PERMISSIONS', /chmod/);
  await refused(tmpdir(), 'STORE_PERMISSIONS', /not a file/);
  await refused('/nowhere/passphrase', 'STORE_FAILED', /does not exist/);
  await refused(await file(''), 'MASTER_KEY_WRONG', /empty/);
  await refused(await file('\n'), 'MASTER_KEY_WRONG', /empty/);
  await refused(await file('x'.repeat(1025)), 'MASTER_KEY_WRONG', /too long/);
  await refused(await file(Uint8Array.of(0xc3, 0x28)), 'MASTER_KEY_WRONG', /not text/);
});
