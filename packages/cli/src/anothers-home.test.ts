// In another user's home, a command names the owner and how to act as that user, and changes nothing.

import assert from 'node:assert/strict';
import { chmod, chown, lchown, mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import { type TestContext, test } from 'node:test';
import { startDaemon } from '@palyra/daemon';
import { examineHome } from '@palyra/daemon/home';
import { runRecorded, temporaryFolder } from './testing/recorded-run.ts';
import { treeOf } from './testing/tree.ts';

const here = { host: '127.0.0.1', port: 0 };
const config = { pairing: here, node: here, quic: { enabled: false }, console: { enabled: false } };
/** The user `nobody` in Debian. */
const other = 54321;

async function startedHome(t: TestContext): Promise<string> {
  const home = join(await temporaryFolder(t), 'home');
  await (await startDaemon({ home, config })).close();
  return home;
}

async function give(folder: string, uid: number): Promise<void> {
  await lchown(folder, uid, uid);
  for (const name of await readdir(folder, { recursive: true })) await lchown(join(folder, name), uid, uid);
}

const isRoot = process.geteuid?.() === 0;

test("in another user's home every command names the owner and how to act as that user", {
  skip: !isRoot && 'ONLY ROOT MAY GIVE FOLDERS AWAY',
}, async (t) => {
  const folder = await temporaryFolder(t);
  const passphrase = join(folder, 'passphrase');
  await writeFile(passphrase, 'correct horse battery', { mode: 0o600 });
  const home = await startedHome(t);
  await give(home, other);
  const before = await treeOf(home);
  const commands = [
    ['daemon'],
    ['daemon', '--check'],
    ['doctor'],
    ['status'],
    ['devices', 'list'],
    ['pairing', 'list'],
    ['pair', '192.0.2.1', '--code-stdin'],
    ['renew'],
    ['node', 'status'],
    ['node', 'run'],
    ['secrets', 'rekey'],
    ['ca', 'set-aside'],
    ['backup', join(folder, 'backup.age'), '--passphrase-file', passphrase],
    ['restore', passphrase, '--passphrase-file', passphrase, '--none-revoked'],
    ['--remote', 'status'],
  ];
  for (const args of commands) {
    const { stdout, stderr, exitCode } = await runRecorded({ args: ['--home', home, ...args] });
    const said = stdout + stderr;
    assert.notEqual(exitCode, 0, args.join(' '));
    assert.ok(said.includes(`belongs to the user #${other}`), `${args.join(' ')}: ${said}`);
    assert.ok(said.includes(`sudo -u '#${other}' palyra ... --home ${home}`), said);
    assert.doesNotMatch(said, /Start the daemon|Start it|Pair it|chown|chmod/, args.join(' '));
    assert.deepEqual(await treeOf(home), before, args.join(' '));
    if (/^(?:status|devices|pairing)/.test(args.join(' '))) {
      assert.match(said, /No daemon runs in the home/, args.join(' '));
      assert.equal(exitCode, 7, args.join(' '));
    }
  }
  await give(home, 0);
  await (await startDaemon({ home, config })).close();
});

test('for an empty folder of root, the command says how to give it to the user', {
  skip: !isRoot && 'ONLY ROOT MAY BE ANOTHER USER',
}, async (t) => {
  const folder = await temporaryFolder(t);
  await chmod(folder, 0o755);
  const home = join(folder, 'home');
  await mkdir(home, { mode: 0o755 });
  process.seteuid!(other);
  try {
    await assert.rejects(startDaemon({ home, config }), {
      code: 'STORE_PERMISSIONS',
      message: new RegExp(`belongs to the user root.*It is empty.*sudo chown ${other} `),
    });
  } finally {
    process.seteuid!(0);
  }
});

test('one round of the suggested commands repairs every owner and mode in a home', {
  skip: !isRoot && 'ONLY ROOT MAY GIVE FILES AWAY',
}, async (t) => {
  const home = await startedHome(t);
  const daemon = join(home, 'daemon');
  const secrets = join(daemon, 'secrets');
  for (const name of await readdir(home, { recursive: true })) await chmod(join(home, name), 0o755);
  await chmod(home, 0o755);
  await chown(join(daemon, 'registry.sqlite'), other, other);
  await chown(secrets, other, other);
  const { message } = await startDaemon({ home, config }).catch((error) => error);
  const [found] = await examineHome(home, new Date());
  assert.equal(found!.message, message);
  const commands = message.matchAll(/^Run(?: as root)?: (ch.*)$/gm);
  const { execFileSync } = await import('node:child_process');
  for (const [, command] of commands) execFileSync('sh', ['-ec', command!]);
  await (await startDaemon({ home, config })).close();
  const verdicts = (await examineHome(home, new Date())).filter(({ verdict }) => verdict === 'problem');
  assert.deepEqual(verdicts, []);
});
