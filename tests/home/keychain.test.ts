// The master key of a device in the keychain: Debian's gnome-keyring on a separate session bus, and a machine without both.

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { answer, failure, palyra } from '../testing/palyra-process.ts';
import { TestDaemon } from '../testing/running-daemon.ts';
import { temporaryFolder } from '../testing/temporary-folder.ts';
import { until, within } from '../testing/until.ts';

const absent = ['dbus-daemon', 'dbus-send', 'gnome-keyring-daemon'].filter(
  (each) => spawnSync('which', [each]).status !== 0,
);
const skip =
  absent.length > 0 && `not installed: ${absent.join(', ')} (Debian: dbus-daemon, dbus-bin, gnome-keyring)`;

const headless = { DBUS_SESSION_BUS_ADDRESS: 'unix:path=/nonexistent' };

async function pairedHome(t: TestContext) {
  const daemon = await TestDaemon.start(t);
  const home = temporaryFolder();
  const { code } = await daemon.admin.mintCode({ autoApprove: true });
  await answer(['pair', daemon.pairingAddress, '--code-stdin'], { home, stdin: `${code}\n` });
  return {
    daemon,
    home,
    keyFile: join(home, 'device/master.key'),
    place: join(home, 'device/master-key.json'),
  };
}

test('a machine without a keychain keeps the key file, and says so', async (t) => {
  const { home, keyFile, place } = await pairedHome(t);
  const before = await readFile(keyFile);
  const said = await failure(palyra(['node', 'keychain'], { home, env: headless }), {
    code: 'STORE_FAILED',
    exitCode: 6,
  });
  assert.match(said, /No keychain can be used here: .*stays in the key file/);
  assert.deepEqual(await readFile(keyFile), before);
  assert.equal(existsSync(place), false);
  await answer(['node', 'status'], { home });
});

test('a file that names no account is refused', async (t) => {
  const { home, place } = await pairedHome(t);
  for (const text of ['{}\n', '{"keychain":"../x"}\n', '']) {
    await writeFile(place, text, { mode: 0o600 });
    await failure(palyra(['node', 'status'], { home }), { code: 'MASTER_KEY_WRONG', exitCode: 6 });
  }
});

test('the key moves into the keychain and back', { skip }, async (t) => {
  const keyring = await startKeyring(t);
  const { daemon, home, keyFile, place } = await pairedHome(t);
  const fileBefore = await readFile(keyFile);
  const { env } = keyring;

  assert.equal((await answer(['node', 'keychain'], { home, env })).moved, true);
  assert.deepEqual([existsSync(keyFile), existsSync(place)], [false, true]);
  assert.equal((await answer(['node', 'keychain'], { home, env })).moved, false);
  await answer(['node', 'status'], { home, env });

  // The earlier key from the file opens nothing any more, and does not replace the key in the keychain.
  await writeFile(keyFile, fileBefore, { mode: 0o600 });
  await failure(palyra(['node', 'status'], { home, env: headless }), { code: 'STORE_FAILED', exitCode: 6 });
  const account = /[0-9a-f]{32}/.exec(await readFile(place, 'utf8'))![0];
  await writeFile(place, '{"keychain":"00000000000000000000000000000000"}\n');
  const lost = await failure(palyra(['node', 'status'], { home, env }), {
    code: 'MASTER_KEY_WRONG',
    exitCode: 6,
  });
  assert.match(lost, /Unlock the keychain/);
  await writeFile(place, `{"keychain":"${account}"}\n`);

  await keyring.lock();
  assert.equal((await palyra(['node', 'status'], { home, env })).exitCode, 6);
  await keyring.unlock();
  assert.equal((await answer(['node', 'keychain', '--undo'], { home, env })).moved, true);
  assert.deepEqual([existsSync(keyFile), existsSync(place)], [true, false]);
  assert.notDeepEqual(await readFile(keyFile), fileBefore);
  await answer(['node', 'status'], { home });

  // A new device can begin with the keychain.
  const fresh = temporaryFolder();
  assert.equal((await answer(['node', 'keychain'], { home: fresh, env })).moved, true);
  const { code } = await daemon.admin.mintCode({ autoApprove: true });
  await answer(['pair', daemon.pairingAddress, '--code-stdin'], { home: fresh, env, stdin: `${code}\n` });
  assert.equal(existsSync(join(fresh, 'device/master.key')), false);
  await answer(['node', 'status'], { home: fresh, env });
});

/** An unlocked keychain that never asks a person. */
async function startKeyring(t: TestContext) {
  const folder = temporaryFolder();
  const config = join(folder, 'bus.conf');
  await writeFile(
    config,
    `<busconfig><type>session</type><listen>unix:dir=${folder}</listen>
     <policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy></busconfig>`,
  );
  const bus = spawn('dbus-daemon', ['--nofork', '--print-address', `--config-file=${config}`], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  t.after(() => end(bus));
  const [address] = await within('the address of the bus', once(bus.stdout, 'data'));
  const env = {
    DBUS_SESSION_BUS_ADDRESS: String(address).trim(),
    XDG_RUNTIME_DIR: folder,
    XDG_DATA_HOME: folder,
  };
  let daemon: ReturnType<typeof spawn> | undefined;
  t.after(() => end(daemon));
  const start = async (...options: string[]) => {
    daemon = spawn('gnome-keyring-daemon', ['--foreground', '--components=secrets', ...options], {
      env: { ...process.env, HOME: folder, ...env },
      stdio: ['pipe', 'ignore', 'ignore'],
    });
    daemon.stdin!.end(options.length > 0 ? 'a password' : '');
    await until('the keyring', () => {
      const asked = spawnSync(
        'dbus-send',
        [
          '--session',
          '--print-reply',
          '--dest=org.freedesktop.DBus',
          '/',
          'org.freedesktop.DBus.NameHasOwner',
          'string:org.freedesktop.secrets',
        ],
        { env: { ...process.env, ...env }, encoding: 'utf8' },
      );
      return asked.stdout.includes('true');
    });
  };
  await start('--unlock');
  return {
    env,
    async lock() {
      await end(daemon);
      await start();
    },
    async unlock() {
      await end(daemon);
      await start('--unlock');
    },
  };
}

async function end(child: ReturnType<typeof spawn> | undefined): Promise<void> {
  if (!child || child.exitCode !== null || child.signalCode !== null) return;
  const over = once(child, 'close');
  child.kill('SIGKILL');
  await over;
}
