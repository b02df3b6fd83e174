// The certificate files for other programs, and the command that notifies those programs: docs/operations.md, "Other programs".

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import {
  chmod,
  chown,
  lchown,
  mkdir,
  readdir,
  readFile,
  readlink,
  realpath,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import { before, type TestContext, test } from 'node:test';
import { type CredentialFilesState, CredentialKeeper, writeCredentialFiles } from '@palyra/agent';
import { type PairedEnrollment, renewCertificate } from '@palyra/identity/device';
import { fileScope } from '../testing/file-scope.ts';
import { gone } from '../testing/gone.ts';
import { TestDaemon } from '../testing/running-daemon.ts';
import { makeDevice, pair } from '../testing/sample-device.ts';
import { temporaryFolder } from '../testing/temporary-folder.ts';
import { until, within } from '../testing/until.ts';

const needsRoot = process.geteuid?.() === 0 ? false : 'only root can give a file to another user';
const nobody = 65534;

const file = fileScope();
/** The files of one device, before and after a renewal. */
let first: PairedEnrollment;
let second: PairedEnrollment;

before(async () => {
  const daemon = await TestDaemon.start(file as TestContext);
  const device = await makeDevice();
  first = await pair(daemon, device);
  const node = await daemon.node(first);
  second = await renewCertificate(device, first, (proof) => node.renew(proof));
});

const serialIn = (pem: string) => new X509Certificate(pem).serialNumber;
const serialOf = ({ certificateChain }: PairedEnrollment) =>
  new X509Certificate(certificateChain[0]!).serialNumber;

/** Reads the files as any program does. @returns the serial, if the files did not change meanwhile. */
function readAsOne(folder: string): string | undefined {
  const read = (name: string) => readFileSync(join(folder, name), 'utf8');
  const chain = read('chain.pem');
  const key = read('key.pem');
  const certificate = read('cert.pem');
  if (read('chain.pem') !== chain) return undefined;
  assert.ok(
    new X509Certificate(chain).checkPrivateKey(createPrivateKey(key)),
    'the key belongs to the chain',
  );
  assert.equal(serialIn(certificate), serialIn(chain));
  return serialIn(chain);
}

test('a key is never beside the certificate of another key', async () => {
  const folder = join(temporaryFolder(), 'made', 'for it');
  await writeCredentialFiles(folder, first);
  let isOver = false;
  const writer = (async () => {
    for (let round = 0; round < 10; round += 1) {
      await writeCredentialFiles(folder, second);
      await writeCredentialFiles(folder, first);
    }
    isOver = true;
  })();
  const seen = new Set<string>();
  while (!isOver) {
    const serial = readAsOne(folder);
    if (serial) seen.add(serial);
    await new Promise(setImmediate);
  }
  await writer;
  assert.deepEqual(seen, new Set([serialOf(first), serialOf(second)]));
  assert.equal((await stat(folder)).mode & 0o777, 0o700);
  assert.deepEqual((await readdir(folder)).sort(), [
    '.palyra',
    'bundle.pem',
    'cert.pem',
    'chain.pem',
    'key.pem',
  ]);
  assert.equal(
    (await readdir(join(folder, '.palyra'))).length,
    3,
    'a link, the current files and the previous ones',
  );
});

test('correct files stay unchanged, and others are repaired', async () => {
  const folder = temporaryFolder();
  const { folder: files } = await writeCredentialFiles(folder, first);
  assert.deepEqual(await writeCredentialFiles(folder, first), { folder: files, isNew: false });
  for (const damage of [
    () => rm(join(folder, 'cert.pem')),
    () => writeFile(join(folder, 'bundle.pem'), 'damaged'),
    async () => rm(await realpath(join(folder, '.palyra', 'current')), { recursive: true }),
    () => rm(join(folder, '.palyra'), { recursive: true }),
  ]) {
    await damage();
    assert.equal((await writeCredentialFiles(folder, first)).isNew, true, String(damage));
    assert.equal(readAsOne(folder), serialOf(first));
  }
});

for (const umask of [0o000, 0o077, 0o177])
  test(`a file has its mode under the umask ${umask.toString(8)}, and keeps a mode that an administrator set`, async (t) => {
    const before = process.umask(umask);
    t.after(() => process.umask(before));
    const folder = join(temporaryFolder(), 'parent', 'files');
    await writeCredentialFiles(folder, first);
    const mode = async (path: string) => ((await stat(join(folder, path))).mode & 0o777).toString(8);
    for (const path of ['.', '..']) assert.equal(await mode(path), '700');
    for (const path of ['cert.pem', 'chain.pem', 'bundle.pem']) assert.equal(await mode(path), '644');
    assert.equal(await mode('key.pem'), '600');
    await chmod(join(folder, 'key.pem'), 0o640);
    await chmod(join(folder, 'chain.pem'), 0o600);
    await writeCredentialFiles(folder, second);
    assert.equal(await mode('key.pem'), '640');
    assert.equal(await mode('chain.pem'), '600');
    assert.equal(await mode('cert.pem'), '644');
  });

test('owner and group from an administrator stay, even on a file that existed before', {
  skip: needsRoot,
}, async () => {
  const folder = temporaryFolder();
  const path = join(folder, 'key.pem');
  await writeFile(path, '', { mode: 0o640 });
  await chown(path, 0, nobody);
  await writeCredentialFiles(folder, first);
  await chown(join(folder, 'chain.pem'), nobody, nobody);
  await writeCredentialFiles(folder, second);
  const look = async (name: string) => {
    const { uid, gid, mode } = await stat(join(folder, name));
    return [uid, gid, mode & 0o777];
  };
  assert.deepEqual(await look('key.pem'), [0, nobody, 0o640]);
  assert.deepEqual(await look('chain.pem'), [nobody, nobody, 0o644]);
  assert.deepEqual(await look('cert.pem'), [process.geteuid?.(), process.getegid?.(), 0o644]);
});

test('the error names an owner that this user cannot keep, and the previous files stay', {
  skip: needsRoot,
}, async (t) => {
  // That user may not enter this test's temporary folder.
  const folder = temporaryFolder('/tmp');
  await chown(folder, nobody, nobody);
  t.after(() => process.seteuid?.(0));
  process.seteuid?.(nobody);
  await writeCredentialFiles(folder, first);
  process.seteuid?.(0);
  await chown(join(folder, 'cert.pem'), 0, 0);
  process.seteuid?.(nobody);
  await assert.rejects(writeCredentialFiles(folder, second), {
    code: 'STORE_PERMISSIONS',
    message: /cert\.pem belongs to user 0 and group 0/,
  });
  assert.equal(readAsOne(folder), serialOf(first));
});

test("an administrator's link in place of a file stays, and its target gets the contents", async () => {
  const [folder, elsewhere] = [temporaryFolder(), temporaryFolder()];
  const target = join(elsewhere, 'server.key');
  await writeFile(target, 'a key of before', { mode: 0o640 });
  await symlink(target, join(folder, 'key.pem'));
  await symlink('nowhere yet', join(folder, 'bundle.pem'));
  for (const enrollment of [first, second]) {
    await writeCredentialFiles(folder, enrollment);
    assert.equal(readAsOne(folder), serialOf(enrollment));
    assert.equal(await readlink(join(folder, 'key.pem')), target);
    assert.match(await readFile(join(folder, 'nowhere yet'), 'utf8'), /BEGIN CERTIFICATE/);
    assert.equal((await stat(target)).mode & 0o777, 0o640);
  }
  assert.deepEqual(await readdir(elsewhere), ['server.key']);
});

test('a link from another user is not followed', { skip: needsRoot }, async () => {
  const [folder, elsewhere] = [temporaryFolder(), temporaryFolder()];
  const victim = join(elsewhere, 'passwd');
  await writeFile(victim, 'precious');
  await chmod(victim, 0o666);
  await chown(victim, nobody, nobody);
  await symlink(victim, join(folder, 'key.pem'));
  await lchown(join(folder, 'key.pem'), nobody, nobody);
  await writeCredentialFiles(folder, first);
  assert.equal(await readFile(victim, 'utf8'), 'precious');
  assert.equal(readAsOne(folder), serialOf(first));
  // The key does not get the owner and mode of the link's target either.
  const { uid, mode } = await stat(join(folder, 'key.pem'));
  assert.deepEqual([uid, mode & 0o777], [0, 0o600]);
});

for (const mode of [0o777, 0o1777, 0o720])
  test(`no key is written into a folder with mode ${mode.toString(8)}, where others may create files`, async () => {
    const folder = temporaryFolder();
    await chmod(folder, mode);
    await assert.rejects(writeCredentialFiles(folder, first), {
      code: 'STORE_PERMISSIONS',
      message: new RegExp(`Other users may write to ${folder}\\b.*chmod go-w ${folder}$`),
    });
    assert.deepEqual(await readdir(folder), []);
  });

for (const [what, place, saying] of [
  [
    'a folder',
    (path: string) => mkdir(path),
    'a folder is there. Containers create one if a file that they mount is missing. Remove it.',
  ],
  [
    'a link that leads nowhere',
    (path: string) => symlink('/nowhere/key.pem', path),
    'it is a link to /nowhere/key.pem, and there is no such file or folder (ENOENT). Point it to a place for a file, or remove it.',
  ],
  [
    'a link in a circle',
    (path: string) => symlink('key.pem', path),
    'it is a link to key.pem, and it is a symbolic link, or leads through too many (ELOOP). Point it to a place for a file, or remove it.',
  ],
  ['a file that is mounted', mountFile, 'a file is mounted there. Mount the folder instead.'],
] as const)
  test(`${what} in place of a file is reported with the repair, and the files are written after it`, {
    skip: what.includes('mounted') && needsRoot,
  }, async (t) => {
    const folder = temporaryFolder();
    const key = join(folder, 'key.pem');
    await place(key, t);
    await assert.rejects(writeCredentialFiles(folder, first), {
      code: 'STORE_FAILED',
      message: `${key} cannot be replaced: ${saying}`,
    });
    assert.deepEqual(
      (await readdir(folder)).filter((name) => name.endsWith('.new') || name === 'cert.pem'),
      [],
      'no certificate without its key, and no leftovers',
    );
    spawnSync('umount', ['--lazy', key]);
    await rm(key, { recursive: true });
    await writeCredentialFiles(folder, first);
    assert.equal(readAsOne(folder), serialOf(first));
  });

async function mountFile(path: string, t: TestContext): Promise<void> {
  await writeFile(path, '', { mode: 0o600 });
  const { status, stderr } = spawnSync('mount', ['--bind', path, path], { encoding: 'utf8' });
  assert.equal(status, 0, stderr);
  t.after(() => spawnSync('umount', ['--lazy', path]));
}

test('no key is written into a folder of another user', { skip: needsRoot }, async () => {
  const folder = temporaryFolder();
  await chown(folder, nobody, nobody);
  await assert.rejects(writeCredentialFiles(folder, first), {
    code: 'STORE_PERMISSIONS',
    message: new RegExp(`${folder} belongs to user ${nobody}`),
  });
  assert.deepEqual(await readdir(folder), []);
});

test('a failed write is retried long before the next renewal', async (t) => {
  const folder = temporaryFolder();
  // No folder can be created here.
  await writeFile(join(folder, '.palyra'), '');
  const keeper = keep(t, folder, first);
  const { error } = await keeper.next('files_failed');
  assert.match(String(error), /\.palyra/);
  await keeper.next('files_failed');
  await rm(join(folder, '.palyra'));
  await keeper.next('files_changed');
  assert.equal(readAsOne(folder), serialOf(first));
});

test('the command runs for the first files and after each change by any process, until it succeeds', async (t) => {
  const folder = temporaryFolder();
  const log = join(temporaryFolder(), 'log');
  const runs = async () => (await readFile(log, 'utf8').catch(() => '')).split('\n').filter(Boolean).length;
  const command = `echo ran >> ${log}; test ! -e ${log}.broken`;

  const keeper = keep(t, folder, first, command);
  await keeper.next('hook_done');
  assert.equal(await runs(), 1, 'the first files');

  await writeFile(`${log}.broken`, '');
  keeper.take(second);
  assert.match(String((await keeper.next('hook_failed')).error), /ended with exit code 1/);
  await keeper.next('hook_failed');
  await rm(`${log}.broken`);
  await keeper.next('hook_done');
  const soFar = await runs();
  await keeper.stop();

  // Like a restarted agent: first without a change, then with a change, and then with a command that never ran.
  const same = keep(t, folder, second, command);
  same.take(first);
  await same.next('hook_done');
  assert.equal(await runs(), soFar + 1, 'not again for the same files');
  await same.stop();
  await writeCredentialFiles(folder, second);
  const behind = keep(t, folder, second, command);
  await behind.next('hook_done');
  await behind.stop();
  const other = keep(t, folder, second, `${command} # another`);
  await other.next('hook_done');
  assert.equal(await runs(), soFar + 3);
});

test('the command has no standard input, and it and its processes end with the agent', async (t) => {
  const folder = temporaryFolder();
  const scratch = temporaryFolder();
  const isLinux = process.platform === 'linux';
  const keeper = keep(
    t,
    folder,
    first,
    `cd ${scratch}; cat > input; ${isLinux ? 'setsid' : ''} sh -c 'echo $$ > pid; while :; do sleep 1; done'`,
  );
  const pid = await until('the command', async () => {
    const text = await readFile(join(scratch, 'pid'), 'utf8').catch(() => '');
    return /^\d+\n$/.test(text) && Number(text);
  });
  assert.equal(await readFile(join(scratch, 'input'), 'utf8'), '');
  await keeper.stop();
  await gone(pid);
  assert.equal(
    keeper.states.filter(({ state }) => state !== 'files_changed').length,
    0,
    'its end is not reported',
  );
});

test('processes that the command leaves behind keep running', async (t) => {
  const pidFile = join(temporaryFolder(), 'pid');
  const keeper = keep(
    t,
    temporaryFolder(),
    first,
    `sleep 600 2> /dev/null > /dev/null & echo $! > ${pidFile}`,
  );
  await keeper.next('hook_done');
  const pid = Number(await readFile(pidFile, 'utf8'));
  await keeper.stop();
  process.kill(pid, 'SIGKILL');
});

/** A keeper whose states a test can await, one after the other. */
function keep(t: TestContext, folder: string, enrollment: PairedEnrollment, command?: string) {
  const states: CredentialFilesState[] = [];
  let at = 0;
  let wake = Promise.withResolvers<void>();
  const keeper = new CredentialKeeper(enrollment, {
    folder,
    command,
    environment: { PATH: process.env.PATH },
    retryMs: 1,
    onState: (state) => {
      states.push(state);
      wake.resolve();
      wake = Promise.withResolvers();
    },
  });
  t.after(() => keeper.stop());
  return {
    states,
    take: (next: PairedEnrollment) => keeper.take(next),
    stop: () => keeper.stop(),
    next: async (state: CredentialFilesState['state']) => {
      for (;;) {
        while (at < states.length) {
          const each = states[at++]!;
          if (each.state === state) return each as { error?: unknown };
        }
        await within(() => `${state} after ${JSON.stringify(states)}`, wake.promise);
      }
    },
  };
}
