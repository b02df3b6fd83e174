// Backups that the daemon makes by itself: they restore, old ones go only after a new one is complete, and failures are told.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  chmod,
  type FileHandle,
  mkdir,
  open as openFile,
  readdir,
  readFile,
  rm,
  stat,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { examineHome, readIdentities, restoreHome } from '@palyra/daemon/home';
import type { IdentityErrorCode } from '@palyra/identity';
import { Problem_Part } from '@palyra/rpc/admin';
import { generateHybridIdentity, generateIdentity, identityToRecipient } from 'age-encryption';
import { BackupSchedule } from '../../packages/daemon/src/home/backup-schedule.ts';
import { expectCode } from '../testing/expect-code.ts';
import { day, HeldClock, hour, minute } from '../testing/held-clock.ts';
import { TestDaemon, type TestDaemonOptions } from '../testing/running-daemon.ts';
import { makeDevice, pair } from '../testing/sample-device.ts';
import { mountSmallDisk } from '../testing/small-disk.ts';
import { temporaryFolder } from '../testing/temporary-folder.ts';
import { until } from '../testing/until.ts';

const passphrase = 'correct horse battery staple';
const hasAge = spawnSync('age', ['--version']).error === undefined;
type Backup = NonNullable<TestDaemonOptions['backup']>;

async function passphraseFile(text = passphrase): Promise<string> {
  const path = join(temporaryFolder(), 'passphrase');
  await writeFile(path, `${text}\n`, { mode: 0o600 });
  return path;
}

/** A daemon with scheduled backups. A look at the clock makes those that are due, and waits for them. */
async function scheduled(t: TestContext, backup: Partial<Backup> & Pick<Backup, 'folder'>, home?: string) {
  const clock = new HeldClock();
  // Their cost is not what is tested here.
  if (BackupSchedule.open !== open) t.mock.method(BackupSchedule, 'open', open);
  const daemon = await TestDaemon.start(t, {
    clock,
    backup: 'recipients' in backup ? backup : { passphraseFile: await passphraseFile(), ...backup },
    ...(home !== undefined && { home }),
    onError: () => {},
  });
  const look = async () => {
    await daemon.running.tick();
    await until('the backup', async () => {
      const { backup: now } = await daemon.admin.getStatus({});
      return now !== undefined && now.nextAtMs > BigInt(clock.now().getTime());
    });
    return daemon.admin.getStatus({});
  };
  return { daemon, clock, look };
}

const original = BackupSchedule.open.bind(BackupSchedule);
const open: typeof BackupSchedule.open = (options) => original({ ...options, scryptLogN: 10 });

const filesOf = async (folder: string) =>
  (await readdir(folder)).filter((name) => name.endsWith('.age')).sort();

test('a daemon backs itself up when it is time, keeps as many as it is told, and status says it', async (t) => {
  const folder = temporaryFolder();
  await writeFile(join(folder, 'palyra-by-hand.age'), 'mine');
  const { daemon, clock, look } = await scheduled(t, { folder, keep: 2, everyMs: hour });
  const before = (await daemon.admin.getStatus({})).backup;
  assert.deepEqual([before?.folder, before?.lastAtMs], [folder, undefined]);
  for (let round = 1; round <= 4; round += 1) {
    const { backup, problems } = await look();
    assert.deepEqual(problems, []);
    const now = BigInt(clock.now().getTime());
    assert.deepEqual([backup?.lastAtMs, backup?.nextAtMs], [now, now + BigInt(hour)]);
    const files = await filesOf(folder);
    assert.equal(files.length, 1 + Math.min(round, 2), String(files));
    const { size, mode } = await stat(join(folder, files.at(-2)!));
    assert.equal(mode & 0o777, 0o600);
    assert.equal(backup?.lastBytes, BigInt(size));
    // Not before its time.
    clock.advance(59 * minute);
    await daemon.running.tick();
    assert.deepEqual(await filesOf(folder), files);
    clock.advance(minute);
  }
  assert.equal(await readFile(join(folder, 'palyra-by-hand.age'), 'utf8'), 'mine');
});

test('a restart neither repeats nor forgets a backup, and one from the future does not stop them', async (t) => {
  const folder = temporaryFolder();
  const { daemon, look, clock } = await scheduled(t, { folder });
  await look();
  const [made] = await filesOf(folder);
  await daemon.stop();
  t.mock.restoreAll();
  const again = await scheduled(t, { folder }, daemon.home);
  again.clock.advance(clock.now().getTime() - again.clock.now().getTime() + hour);
  const status = await again.daemon.admin.getStatus({});
  const at = made!.slice(-24, -4).replace(/T(\d\d)-(\d\d)-/, 'T$1:$2:');
  assert.equal(status.backup?.lastAtMs, BigInt(Date.parse(at)));
  assert.equal(status.backup?.nextAtMs, BigInt(Date.parse(at) + day));
  await again.daemon.stop();
  t.mock.restoreAll();
  await writeFile(join(folder, made!.replace(/-\d{4}-/, '-2199-')), '');
  const third = await scheduled(t, { folder }, daemon.home);
  third.clock.advance(hour);
  await third.look();
  assert.equal((await filesOf(folder)).length, 3);
});

test('a backup with a passphrase restores, and its passphrase may be replaced while the daemon runs', async (t) => {
  const folder = temporaryFolder();
  const file = await passphraseFile();
  const { daemon, clock, look } = await scheduled(t, { folder, passphraseFile: file, everyMs: hour });
  await pair(daemon, await makeDevice({ clock }));
  await look();
  await writeFile(file, 'another correct horse battery', { mode: 0o600 });
  clock.advance(hour);
  await look();
  await daemon.stop();
  const [first, second] = (await filesOf(folder)).map((name) => join(folder, name));
  const restore = (from: string, words: string) =>
    restoreHome(join(temporaryFolder(), 'home'), {
      file: from,
      passphrase: words,
      revokedSince: 'none',
      clock,
    });
  assert.equal((await restore(first!, passphrase)).devices, 1);
  await expectCode(restore(second!, passphrase), 'BACKUP_UNREADABLE');
  assert.equal((await restore(second!, 'another correct horse battery')).devices, 1);
});

for (const [kind, generate] of [
  ['X25519', generateIdentity],
  ['post-quantum', generateHybridIdentity],
] as const)
  test(`a backup for recipients restores with an age identity file: ${kind}`, async (t) => {
    const folder = temporaryFolder();
    const [mine, other] = [await generate(), await generate()];
    const recipients = [await identityToRecipient(mine), await identityToRecipient(other)];
    const { daemon, clock, look } = await scheduled(t, { folder, recipients });
    await pair(daemon, await makeDevice({ clock }));
    assert.deepEqual((await look()).problems, []);
    await daemon.stop();
    const [name] = await filesOf(folder);
    const file = join(folder, name!);
    const header = (await readFile(file)).subarray(0, 6000).toString('latin1').split('\n---')[0]!;
    assert.equal(header.match(/^-> /gm)?.length, 2, 'nobody else can open it');
    const keys = join(temporaryFolder(), 'key.txt');
    await writeFile(keys, `# created: today\n\n${other}\r\n`, { mode: 0o600 });
    const identities = await readIdentities(keys);
    const home = join(temporaryFolder(), 'home');
    assert.equal((await restoreHome(home, { file, identities, revokedSince: 'none', clock })).devices, 1);
    const stranger = [await generate()];
    const wrong = restoreHome(join(temporaryFolder(), 'h'), {
      file,
      identities: stranger,
      revokedSince: 'none',
    });
    await expectCode(wrong, 'BACKUP_UNREADABLE');
  });

test("age itself opens the daemon's backups", {
  skip: !hasAge && "Debian's package age is missing",
}, async (t) => {
  const folder = temporaryFolder();
  const keys = join(temporaryFolder(), 'key.txt');
  const made = spawnSync('age-keygen', ['-o', keys], { encoding: 'utf8' });
  const recipient = /age1\S+/.exec(made.stderr)?.[0] ?? assert.fail(made.stderr);
  const { daemon, look } = await scheduled(t, { folder, recipients: [recipient] });
  await look();
  await daemon.stop();
  const [name] = await filesOf(folder);
  const opened = spawnSync('age', ['-d', '-i', keys, join(folder, name!)], { maxBuffer: 2 ** 26 });
  assert.equal(opened.status, 0, String(opened.stderr));
  assert.match(opened.stdout.subarray(0, 20).toString(), /^palyra-backup-v2\n/);
  assert.deepEqual(await readIdentities(keys), [/AGE-SECRET-KEY-\S+/.exec(await readFile(keys, 'utf8'))![0]]);
});

test('a folder that is missing or may not be written is a problem that ends with the next success', async (t) => {
  const parent = temporaryFolder();
  const folder = join(parent, 'mount');
  const { daemon, clock, look } = await scheduled(t, { folder });
  const missing = await look();
  assert.deepEqual(
    missing.problems.map(({ part, code }) => [part, code]),
    [[Problem_Part.BACKUP, 'STORE_FAILED']],
  );
  assert.match(missing.problems[0]!.message, new RegExp(`^The scheduled backup failed: .*${folder}`));
  assert.deepEqual(await readdir(parent), [], 'a disk that is not mounted is not replaced by a folder');
  // Again after a quarter of an hour.
  await mkdir(folder);
  clock.advance(15 * minute);
  const { problems } = await look();
  assert.deepEqual(problems, []);
  assert.equal((await filesOf(folder)).length, 1);
  await daemon.stop();
});

test('on a full disk old backups stay, nothing half is left, and the next attempt works', async (t) => {
  const disk = await mountSmallDisk(t, 1024 * 1024);
  if (!disk) return;
  const { daemon, clock, look } = await scheduled(t, { folder: disk.path, keep: 1, everyMs: hour });
  await look();
  const [old] = await filesOf(disk.path);
  await disk.fill();
  clock.advance(hour);
  const full = await look();
  assert.deepEqual(
    full.problems.map(({ part, code }) => [part, code]),
    [[Problem_Part.BACKUP, 'STORE_FULL']],
  );
  assert.deepEqual(await filesOf(disk.path), [old]);
  assert.deepEqual(
    (await readdir(disk.path)).filter((name) => name.includes('partial')),
    [],
  );
  assert.deepEqual(
    await readdir(join(daemon.home, 'daemon')).then((names) => names.filter((n) => n === 'copies')),
    [],
  );
  await disk.free();
  clock.advance(15 * minute);
  assert.deepEqual((await look()).problems, []);
  const files = await filesOf(disk.path);
  assert.equal(files.length, 1);
  assert.notEqual(files[0], old);
});

test('without room for a copy on the disk of the home there is no backup, and the daemon works on', async (t) => {
  // Less than must stay free.
  const disk = await mountSmallDisk(t, 48 * 1024 * 1024);
  if (!disk) return;
  const folder = temporaryFolder();
  const { daemon, clock, look } = await scheduled(t, { folder }, disk.path);
  const { problems } = await look();
  assert.deepEqual(
    problems.map(({ part, code }) => [part, code]),
    [[Problem_Part.BACKUP, 'STORE_FULL']],
  );
  assert.deepEqual(await readdir(folder), []);
  await pair(daemon, await makeDevice({ clock }));
  await daemon.stop();
});

test('a backup that the disk gives back changed gets no name, and removes no older one', async (t) => {
  const folder = temporaryFolder();
  const { daemon, clock, look } = await scheduled(t, { folder, keep: 1, everyMs: hour });
  await look();
  const [old] = await filesOf(folder);
  const probe = await openFile(join(folder, 'probe'), 'w');
  const handle = Object.getPrototypeOf(probe) as FileHandle;
  await probe.close();
  await rm(join(folder, 'probe'));
  const { sync } = handle;
  t.mock.method(handle, 'sync', async function (this: FileHandle) {
    await this.write(Buffer.of(0xff), 0, 1, 1000);
    return sync.call(this);
  });
  clock.advance(hour);
  const { problems } = await look();
  assert.deepEqual(
    problems.map(({ part, code }) => [part, code]),
    [[Problem_Part.BACKUP, 'BACKUP_UNREADABLE']],
  );
  assert.match(problems[0]!.message, /the disk gives back something else/);
  assert.deepEqual(await readdir(folder), [old]);
  t.mock.restoreAll();
  await daemon.stop();
});

test('a weak passphrase, one that others can read, and a false recipient: refused at first, a problem later', async (t) => {
  const folder = temporaryFolder();
  const weak = await passphraseFile('password');
  const shown = await passphraseFile();
  await chmod(shown, 0o644);
  const cases: (readonly [Partial<Backup>, IdentityErrorCode])[] = [
    [{ passphraseFile: weak }, 'PASSPHRASE_WEAK'],
    [{ passphraseFile: shown }, 'STORE_PERMISSIONS'],
    [{ recipients: [`age1${'q'.repeat(58)}`] }, 'MESSAGE_INVALID'],
  ];
  const { home, stop } = await scheduled(t, { folder }).then(({ daemon }) => ({
    home: daemon.home,
    stop: () => daemon.stop(),
  }));
  await stop();
  for (const [backup, code] of cases) {
    t.mock.restoreAll();
    await expectCode(TestDaemon.start(t, { backup: { folder, ...backup } }), code);
    const later = await scheduled(t, { folder, ...backup }, home);
    assert.equal((await later.look()).problems[0]?.code, code);
    await later.daemon.stop();
  }
  assert.deepEqual(await filesOf(folder), []);
});

test('a daemon that stops during a backup leaves no file behind', async (t) => {
  // The real work factor gives each moment some time.
  const moments = {
    'at once': async () => {},
    'with a copy of the registry': (_: string, copies: string) =>
      until('the copy', async () => (await namesIn(copies)).length > 0),
    'with a file that is not checked yet': (folder: string) =>
      until('the file', async () => (await namesIn(folder)).length > 0),
  };
  for (const [moment, reached] of Object.entries(moments)) {
    const folder = temporaryFolder();
    const daemon = await TestDaemon.start(t, { backup: { folder, passphraseFile: await passphraseFile() } });
    const copies = join(daemon.home, 'daemon', 'copies');
    await daemon.running.tick();
    await reached(folder, copies);
    await daemon.stop();
    assert.deepEqual([await namesIn(folder), await namesIn(copies)], [[], []], moment);
  }
});

const namesIn = (folder: string): Promise<string[]> => readdir(folder).catch(() => []);

test('the doctor tells of the newest backup', async (t) => {
  const folder = temporaryFolder();
  const { daemon, clock, look } = await scheduled(t, { folder });
  const passphrase = await passphraseFile();
  await writeFile(
    join(daemon.home, 'daemon', 'config.json'),
    JSON.stringify({ backup: { folder, passphraseFile: passphrase } }),
    { mode: 0o600 },
  );
  const said = async () =>
    (await examineHome(daemon.home, clock.now()))
      .filter(({ check }) => check === 'backup')
      .map(({ verdict, message }) => [
        verdict,
        message.replace(folder, 'FOLDER').replace(/\d{4}-.*Z/, 'THEN'),
      ]);
  assert.deepEqual(await said(), [
    [
      'warning',
      'There is no backup of this daemon in FOLDER yet. A running daemon makes one within seconds.',
    ],
  ]);
  await look();
  assert.deepEqual(await said(), [['ok', 'The newest backup in FOLDER is from THEN.']]);
  clock.advance(3 * day);
  assert.equal((await said())[0]?.[0], 'warning');
  await rm(folder, { recursive: true });
  assert.equal((await said())[0]?.[0], 'problem');
});

test('an identity file that holds something else is refused, and never shown', async () => {
  const path = join(temporaryFolder(), 'key.txt');
  for (const text of [
    '',
    '# nothing\n',
    'ssh-ed25519 AAAA',
    'AGE-SECRET-KEY-1NONSENSE',
    'x'.repeat(70_000),
  ]) {
    await writeFile(path, text, { mode: 0o600 });
    const error = await expectCode(readIdentities(path), 'BACKUP_UNREADABLE');
    assert.ok(!text || !error.message.includes('NONSENSE'));
  }
  await writeFile(path, await generateIdentity(), { mode: 0o600 });
  await chmod(path, 0o644);
  await expectCode(readIdentities(path), 'STORE_PERMISSIONS');
});
