// Read-only commands write nothing: not while the daemon runs, not after it was stopped or killed, and not when part of
// its home is lost.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cp, mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { startDaemon } from '@palyra/daemon';
import { backupHome } from '@palyra/daemon/home';
import type { Command } from 'commander';
import { buildProgram } from './program.ts';
import { recorded, runRecorded, temporaryFolder } from './testing/recorded-run.ts';
import { treeOf } from './testing/tree.ts';

const here = { host: '127.0.0.1', port: 0 };
const config = { pairing: here, node: here, quic: { enabled: false }, console: { enabled: false } };
const device = '01KAT0MZP8C4T7T1JQ5Z7K3QX9';
const timeoutMs = 10 * 60_000;

/** Arguments of every read-only command, and its exit codes while a daemon runs and while none runs. */
const looks: Readonly<Record<string, { args?: string[]; running: number; stopped: number }>> = {
  status: { running: 0, stopped: 7 },
  why: { args: [device], running: 4, stopped: 7 },
  'audit list': { running: 0, stopped: 7 },
  'audit verify': { running: 0, stopped: 7 },
  'passkeys list': { running: 0, stopped: 7 },
  'fleet list': { running: 0, stopped: 7 },
  'devices list': { running: 0, stopped: 7 },
  'devices show': { args: [device], running: 4, stopped: 7 },
  'pairing list': { running: 0, stopped: 7 },
  'pairing show': { args: [device], running: 4, stopped: 7 },
  'ca show': { running: 0, stopped: 7 },
  'ca export': { running: 0, stopped: 7 },
  'registry sql': { running: 0, stopped: 0 },
  doctor: { running: 0, stopped: 0 },
  'node status': { running: 4, stopped: 4 },
  completion: { args: ['bash'], running: 0, stopped: 0 },
  complete: { args: ['--', 'palyra', 'devices', 'show', ''], running: 0, stopped: 0 },
};

/** Commands that change something, or wait for a change. `ca crl` makes revocation lists. */
const changes: ReadonlySet<string> = new Set([
  'daemon',
  'daemon install',
  'node run',
  'node install',
  'node uninstall',
  'node forget',
  'node keychain',
  'node use',
  'node endpoints',
  'node exec',
  'daemon uninstall',
  'pair',
  'pairing',
  'pairing code',
  'pairing approve',
  'pairing reject',
  'pairing watch',
  'devices label',
  'passkeys remove',
  'fleet forget',
  'devices rename',
  'devices set-role',
  'devices set-host-names',
  'devices revoke',
  'devices release',
  'devices renew',
  'renew',
  'backup',
  'restore',
  'secrets rekey',
  'registry move',
  'registry prepare',
  'ca crl',
  'ca rotate-root',
  'ca set-aside',
  'console',
]);

test('every command is listed as read-only or as one that changes something', async () => {
  const names: string[] = [];
  const walk = (command: Command, path: string) => {
    for (const each of command.commands) {
      if (each.commands.length === 0) names.push(`${path} ${each.name()}`.trim());
      walk(each, `${path} ${each.name()}`);
    }
  };
  walk(await buildProgram(recorded().invocation), '');
  for (const name of names) assert.ok(looks[name] || changes.has(name), `is "${name}" read-only?`);
});

async function lookWithAll(home: string, expected: 'running' | 'stopped'): Promise<void> {
  for (const [name, { args = [], ...exitCodes }] of Object.entries(looks)) {
    for (const words of [
      [...name.split(' '), ...args],
      [...name.split(' '), '--help'],
    ]) {
      const before = await treeOf(home);
      const { exitCode, stdout, stderr } = await runRecorded({ args: ['--home', home, ...words] });
      assert.deepEqual(await treeOf(home), before, `palyra ${words.join(' ')} changed something`);
      const isHelp = words.at(-1) === '--help';
      assert.equal(
        exitCode,
        isHelp ? 0 : exitCodes[expected],
        `palyra ${words.join(' ')}: ${stdout}${stderr}`,
      );
    }
  }
}

async function startedHome(t: TestContext) {
  const home = join(await temporaryFolder(t), 'home');
  const daemon = await startDaemon({ home, config });
  t.after(() => daemon.close(AbortSignal.abort()));
  return { home, daemon };
}

test('read-only commands write nothing while the daemon runs', { timeout: timeoutMs }, async (t) => {
  const { home } = await startedHome(t);
  await lookWithAll(home, 'running');
});

test('read-only commands write nothing while the daemon is stopped', { timeout: timeoutMs }, async (t) => {
  const { home, daemon } = await startedHome(t);
  await daemon.close();
  await lookWithAll(home, 'stopped');
});

test('read-only commands write nothing after the daemon was killed, with and without the shared memory of its registry', {
  timeout: timeoutMs,
}, async (t) => {
  const { home } = await startedHome(t);
  for (const left of [['-wal', '-shm'], ['-wal']]) {
    const killed = join(await temporaryFolder(t), 'home');
    await cp(home, killed, {
      recursive: true,
      preserveTimestamps: true,
      filter: (path) => !/admin\.sock$|-shm$/.test(path) || left.some((end) => path.endsWith(end)),
    });
    assert.ok((await stat(join(killed, 'daemon', 'registry.sqlite-wal'))).size > 0);
    await lookWithAll(killed, 'stopped');
  }
});

test('read-only commands create no home', { timeout: timeoutMs }, async (t) => {
  const folder = await temporaryFolder(t);
  const before = await treeOf(folder);
  for (const [name, { args = [] }] of Object.entries(looks)) {
    await runRecorded({ args: ['--home', join(folder, 'home'), ...name.split(' '), ...args] });
    assert.deepEqual(await treeOf(folder), before, `palyra ${name}`);
  }
});

const losses: Readonly<
  Record<string, { lose: string[]; empty?: string; check: string; says: RegExp; code: string }>
> = {
  'the registry': {
    lose: ['registry.sqlite'],
    check: 'registry',
    says: /does not exist.*palyra restore/,
    code: 'REGISTRY_LOST',
  },
  'everything in the registry': {
    lose: ['registry.sqlite'],
    empty: 'registry.sqlite',
    check: 'registry',
    says: /is empty.*palyra restore/,
    code: 'REGISTRY_LOST',
  },
  'the master key': {
    lose: ['master.key'],
    check: 'secrets',
    says: /does not exist.*palyra restore/,
    code: 'MASTER_KEY_WRONG',
  },
  'the secrets': {
    lose: ['secrets'],
    check: 'secrets',
    says: /is lost.*palyra restore/,
    code: 'STORE_FAILED',
  },
};

for (const [what, { lose, empty, check, says, code }] of Object.entries(losses)) {
  test(`a home that lost ${what}: doctor reports it, and doctor, backup and start do not create a new one`, {
    timeout: timeoutMs,
  }, async (t) => {
    const { home, daemon } = await startedHome(t);
    await daemon.close();
    for (const name of lose) await rm(join(home, 'daemon', name), { recursive: true });
    if (empty) await writeFile(join(home, 'daemon', empty), '', { mode: 0o600 });
    const before = await treeOf(home);
    const looked = await runRecorded({ args: ['--home', home, '--json', 'doctor'] });
    assert.equal(looked.exitCode, 1);
    const { findings } = JSON.parse(looked.stdout.split('\n')[0]!);
    const found = findings.find(
      (each: { check: string; verdict: string }) => each.check === check && each.verdict === 'problem',
    );
    assert.match(found ? `${found.message} ${found.next_step}` : JSON.stringify(findings), says);
    assert.deepEqual(await treeOf(home), before, 'doctor');

    const target = await temporaryFolder(t);
    const passphrase = join(target, 'passphrase');
    await writeFile(passphrase, 'correct horse battery', { mode: 0o600 });
    const file = join(target, 'backup.age');
    const backedUp = await runRecorded({
      args: ['--home', home, '--json', 'backup', file, '--passphrase-file', passphrase],
    });
    assert.notEqual(backedUp.exitCode, 0);
    assert.deepEqual(Object.keys(await treeOf(target)), ['', 'passphrase'], 'backup');

    await assert.rejects(startDaemon({ home, config }), { code });
    const names = (tree: Record<string, string>) =>
      Object.keys(tree).filter((name) => !/^daemon\/lock/.test(name));
    assert.deepEqual(names(await treeOf(home)), names(before), 'a start');
    for (const [name, seen] of Object.entries(await treeOf(home)))
      if (!/^(daemon(\/lock.*|\/secrets)?|daemon\/secrets\/lock)?$/.test(name))
        assert.equal(seen, before[name], name);
  });
}

test('a backup writes its file and does not change the home', { timeout: timeoutMs }, async (t) => {
  const { home, daemon } = await startedHome(t);
  await daemon.close();
  const target = await temporaryFolder(t);
  await mkdir(join(target, 'mine'));
  const before = await treeOf(home);
  await backupHome(home, join(target, 'backup.age'), 'correct horse battery', { scryptLogN: 10 });
  // The backup's temporary copy was in the folder for a while.
  const but = (tree: Record<string, string>) => ({ ...tree, daemon: '' });
  assert.deepEqual(but(await treeOf(home)), but(before));
  assert.deepEqual(Object.keys(await treeOf(target)), ['', 'backup.age', 'mine']);
});

/** Runs a program with the folder mounted read-only; returns nothing where mounting is impossible. */
const readOnly = (home: string, out: string) => [
  'unshare',
  '--mount',
  'sh',
  '-ec',
  'mount --bind "$0" "$0"; mount -o remount,ro,bind "$0"; out="$1"; shift; if touch "$0/x" 2>/dev/null; then exit 99; fi; exec "$@" >"$out"',
  home,
  out,
];

test('on a read-only file system, read-only commands answer as usual, and a backup goes elsewhere', {
  timeout: timeoutMs,
}, async (t) => {
  const { home, daemon } = await startedHome(t);
  const killed = join(await temporaryFolder(t), 'home');
  await cp(home, killed, { recursive: true, filter: (path) => !path.endsWith('admin.sock') });
  await daemon.close();
  const target = await temporaryFolder(t);
  if (spawnSync('unshare', ['--mount', 'true']).status !== 0) {
    t.skip('THIS USER MAY NOT MOUNT: run it as root');
    return;
  }
  for (const [name, place] of Object.entries({ stopped: home, killed })) {
    const before = await treeOf(place);
    const script = `
      import { backupHome, examineHome } from '@palyra/daemon/home';
      const findings = await examineHome(process.argv[1], new Date());
      const backup = await backupHome(process.argv[1], process.argv[2], 'correct horse battery', { scryptLogN: 1 });
      console.log(JSON.stringify({ problems: findings.filter(({ verdict }) => verdict === 'problem'), backup }));
    `;
    const out = join(target, 'out.json');
    const [program, ...args] = readOnly(place, out);
    const node = [
      process.execPath,
      '--disable-warning=ExperimentalWarning',
      '--input-type=module',
      '-e',
      script,
    ];
    const ran = spawnSync(program!, [...args, ...node, place, join(target, `${name}.age`)], {
      cwd: import.meta.dirname,
      encoding: 'utf8',
    });
    assert.equal(ran.status, 0, ran.stderr);
    const { problems, backup } = JSON.parse(await readFile(out, 'utf8'));
    assert.deepEqual(problems, [], name);
    assert.equal(backup.daemonId, daemon.daemonId);
    assert.deepEqual(await treeOf(place), before);
  }
});
