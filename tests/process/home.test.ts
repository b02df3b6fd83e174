// A daemon with an unusable home does not start: it exits with a stable code and says what to do, it
// changes nothing, and after the repair it is the same daemon as before.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmod, cp, readdir, readFile, rename, rm, truncate, writeFile } from 'node:fs/promises';
import net, { type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { before, type TestContext, test } from 'node:test';
import { DaemonProcess } from '../testing/daemon-process.ts';
import { fileScope } from '../testing/file-scope.ts';
import { answer, configure, failure, makeHome, palyra, type Scope } from '../testing/palyra-process.ts';

const permissions = { code: 'STORE_PERMISSIONS', exitCode: 6 };
const corrupt = { code: 'SECRET_CORRUPT', exitCode: 6 };
const wrongKey = { code: 'MASTER_KEY_WRONG', exitCode: 6 };
const failed = { code: 'STORE_FAILED', exitCode: 6 };

/** Each test damages the home and repairs it. */
let home: string;
let daemonId: string;

const file = fileScope();
before(async () => {
  ({ home, daemonId } = await usedHome(file));
});

test('a second daemon on one home is refused, names the first, and leaves it alone', async (t) => {
  const first = await DaemonProcess.start(t, { home });
  const message = await failure(palyra(['daemon'], { home }), { code: 'HOME_IN_USE', exitCode: 4 });
  assert.match(message, new RegExp(`process id ${first.process.pid}\\b`));
  assert.match(message, /Stop the other daemon first, or .*--home DIR/);

  await answer(['pairing', 'code'], { home });
  const status = await answer(['status'], { home });
  assert.equal(status.daemon_id, daemonId);
  assert.equal(status.live_codes, 1);
  await first.stop();
});

test('a killed daemon does not keep its home locked', async (t) => {
  await (await DaemonProcess.start(t, { home })).kill();
  await startsAgain(t);
});

test('a home that others can enter or read is refused, until the command in the message has run', async (t) => {
  for (const [pattern, mode] of [
    ['.', 0o755],
    ['daemon', 0o750],
    ['daemon/master.key', 0o644],
    ['daemon/registry.sqlite', 0o640],
    ['daemon/secrets', 0o701],
    ['daemon/secrets/*', 0o755],
    ['daemon/secrets/*/*', 0o604],
  ] as const) {
    const [path] = await find(home, pattern);
    await chmod(path!, mode);
    const message = await failure(palyra(['daemon'], { home }), permissions);
    assert.ok(message.includes(path!), message);
    const command = /chmod .*$/.exec(message)?.[0];
    assert.ok(command, message);
    execFileSync('sh', ['-c', command]);
  }
  await startsAgain(t);
});

test('any secret file that is truncated, empty or plain text is refused', async (t) => {
  const files = await find(home, 'daemon/secrets/*/*');
  const damages = [
    (path: string) => truncate(path, 100),
    (path: string) => truncate(path, 0),
    (path: string) =>
      writeFile(path, '-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMG\n-----END PRIVATE KEY-----\n'),
    (path: string) => writeFile(path, 'x'.repeat(300)),
  ];
  assert.equal(
    files.length,
    damages.length,
    'two authorities, the sealing key, the mark of a finished start',
  );
  for (const [at, path] of files.entries()) {
    const sealed = await readFile(path);
    await damages[at]!(path);
    const message = await refusedAsIs(corrupt);
    assert.ok(message.includes(path), message);
    assert.match(message, /Restore it from a backup/);
    await writeFile(path, sealed);
  }
  await startsAgain(t);
});

test('two secret files that were swapped are refused', async (t) => {
  const [one, other] = (await find(home, 'daemon/secrets/*/*')) as [string, string];
  await swap(one, other);
  assert.match(await refusedAsIs(corrupt), /Restore it from a backup/);
  await swap(one, other);
  await startsAgain(t);
});

test("another home's secret file, and another home's master key, are refused", async (t) => {
  const other = await usedHome(t);
  for (const [pattern, says] of [
    ['daemon/secrets/*/*', /was sealed under another master key than the one given/],
    ['daemon/master.key', /was sealed under another master key than the one given/],
  ] as const) {
    const [ours] = await find(home, pattern);
    const [theirs] = await find(other.home, pattern);
    const right = await readFile(ours!);
    await cp(theirs!, ours!);
    const message = await refusedAsIs(wrongKey);
    assert.match(message, says);
    assert.match(message, /restore store and key from the same backup/);
    await writeFile(ours!, right);
  }
  await startsAgain(t);
});

const lost = { code: 'REGISTRY_LOST', exitCode: 6 };

test('a missing registry beside existing secrets is refused: no second daemon is created', async (t) => {
  const registry = join(home, 'daemon', 'registry.sqlite');
  await rename(registry, `${home}/backup`);
  for (const time of ['the first time', 'and again']) {
    const message = await failure(palyra(['daemon'], { home }), lost);
    assert.match(message, /palyra restore FILE.*start with a new home/, time);
    assert.deepEqual(await find(home, 'daemon/registry.sqlite*'), [], 'none is made');
  }
  await rename(`${home}/backup`, registry);
  await startsAgain(t);
});

test('a file that is not a registry, or an empty one, is refused', async (t) => {
  const registry = join(home, 'daemon', 'registry.sqlite');
  const right = await readFile(registry);
  await writeFile(registry, 'not a database, but long enough to be taken for one'.repeat(100));
  assert.match(await failure(palyra(['daemon'], { home }), failed), /restore it from a backup/);
  await writeFile(registry, '');
  assert.match(await failure(palyra(['daemon'], { home }), lost), /palyra restore FILE/);
  await writeFile(registry, right);
  await startsAgain(t);
});

test('the error names a home that is not a folder, and a missing passphrase file', async (t) => {
  const noFolder = join(home, 'file');
  await writeFile(noFolder, '');
  assert.ok((await failure(palyra(['daemon'], { home: noFolder }), failed)).includes(noFolder));
  await rm(noFolder);
  const path = join(home, 'no-passphrase');
  await configure(home, { masterKey: { from: 'passphrase-file', path } });
  assert.ok((await failure(palyra(['daemon'], { home }), failed)).includes(path));
  await configure(home);
  await startsAgain(t);
});

test('the error names a port in use, and its setting', async (t) => {
  const taken = net.createServer().listen(0, '127.0.0.1');
  t.after(() => void taken.close());
  await new Promise<void>((resolve) => taken.once('listening', resolve));
  const { port } = taken.address() as AddressInfo;
  for (const name of ['pairing', 'node']) {
    await configure(home, { [name]: { host: '127.0.0.1', port } });
    const message = await failure(palyra(['daemon'], { home }), { code: 'UNREACHABLE', exitCode: 7 });
    assert.match(message, new RegExp(`Port ${port} for the ${name} listener is in use`));
    assert.match(message, new RegExp(`set ${name}\\.port in config\\.json`));
  }
  await configure(home);
  await startsAgain(t);
});

/** A home whose daemon was started once and stopped. */
async function usedHome(scope: Scope): Promise<{ home: string; daemonId: string }> {
  const used = await makeHome(scope);
  const daemon = await DaemonProcess.start(scope, { home: used });
  await daemon.stop();
  return { home: used, daemonId: daemon.daemonId };
}

/** A refused start that changes nothing. @returns the message. */
async function refusedAsIs(expected: { code: string; exitCode: number }): Promise<string> {
  const before = await contents();
  const message = await failure(palyra(['daemon'], { home }), expected);
  assert.deepEqual(await contents(), before, 'something was changed');
  return message;
}

/** Checks that it is the same daemon, with an intact audit chain. */
async function startsAgain(t: TestContext): Promise<void> {
  const daemon = await DaemonProcess.start(t, { home });
  assert.equal(daemon.daemonId, daemonId);
  assert.ok((await (await daemon.admin()).verifyAudit({})).ok);
  await daemon.stop();
}

async function swap(one: string, other: string): Promise<void> {
  await rename(one, `${home}/aside`);
  await rename(other, one);
  await rename(`${home}/aside`, other);
}

/** Files and folders of a home by pattern: a single `*` matches a name of hex digits, and a trailing `*` the rest of a name. */
async function find(folder: string, pattern: string): Promise<string[]> {
  if (pattern === '.') return [folder];
  let paths = [folder];
  for (const part of pattern.split('/')) {
    const fits = (name: string) =>
      part === '*'
        ? /^[0-9a-f]{32,}$/.test(name)
        : part.endsWith('*')
          ? name.startsWith(part.slice(0, -1))
          : name === part;
    const deeper = await Promise.all(
      paths.map(async (path) => (await readdir(path)).filter(fits).map((name) => join(path, name))),
    );
    paths = deeper.flat();
  }
  return paths.sort();
}

/** Every file of registry and secret store, with its bytes. */
async function contents(): Promise<Map<string, string>> {
  const patterns = ['daemon/registry.sqlite*', 'daemon/master.key', 'daemon/secrets/*/*'];
  const paths = (await Promise.all(patterns.map((pattern) => find(home, pattern)))).flat();
  return new Map(await Promise.all(paths.map(async (path) => [path, await readFile(path, 'hex')] as const)));
}
