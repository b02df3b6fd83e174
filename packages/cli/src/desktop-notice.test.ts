// Desktop notifications by a notify-send that writes down what it is given, and by the real one with a real notification daemon.

import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmod, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { Continuity, DeviceKind, type Pairing } from '@palyra/rpc/admin';
import { until, within } from '../../../tests/testing/until.ts';
import { commandFor, DesktopNotices } from './desktop-notice.ts';
import { temporaryFolder } from './testing/recorded-run.ts';

const command = 'palyra --remote pairing approve';

const request = (name: string, more: object = {}) =>
  ({
    id: name,
    device: { name, kind: DeviceKind.NODE, source: '192.0.2.7', continuity: Continuity.NEW, ...more },
  }) as unknown as Pairing;

/** A folder for PATH whose notify-send writes each of its arguments to a file, and each run to a line. */
async function fake(t: TestContext, script = '') {
  const folder = await temporaryFolder(t);
  const said = join(folder, 'said');
  const program = join(folder, 'notify-send');
  await writeFile(program, `#!/bin/sh\n${script}\nprintf '%s\\0' "$@" >>${said}; echo >>${said}\n`);
  await chmod(program, 0o755);
  return {
    folder,
    runs: async () => (await readFile(said, 'utf8').catch(() => '')).split('\0\n').slice(0, -1),
  };
}

function notices(t: TestContext, path: string, environment: NodeJS.ProcessEnv = {}) {
  const problems: string[] = [];
  const of = new DesktopNotices({
    environment: { PATH: path, ...environment },
    command,
    onProblem: (why) => problems.push(why),
  });
  t.after(() => of.close());
  return { of, problems };
}

test('a notification names the device, and not the words', async (t) => {
  const { folder, runs } = await fake(t);
  const { of } = notices(t, folder);
  of.take(request('kitchen sensor', { words: 'reject mansion circle' }));
  const [run] = await until('a notification', async () => (await runs()).length > 0 && runs());
  assert.deepEqual(run?.split('\0'), [
    '--app-name=Palyra',
    '--',
    'A device asks to pair',
    `kitchen sensor\nnode, from 192.0.2.7\nCompare the three words before you approve: ${command}`,
  ]);
});

test('a device with another key is called that', async (t) => {
  const { folder, runs } = await fake(t);
  const { of } = notices(t, folder);
  of.take(request('laptop', { continuity: Continuity.ANOTHER_KEY }));
  const [run] = await until('a notification', async () => (await runs()).length > 0 && runs());
  assert.match(run!, /WITH ANOTHER KEY/);
});

test('many requests at once are two notifications', async (t) => {
  const { folder, runs } = await fake(t);
  const { of } = notices(t, folder);
  for (let each = 0; each < 100; each++) of.take(request(`device ${each}`));
  const told = await until('two notifications', async () => (await runs()).length > 1 && runs());
  assert.equal(told.length, 2);
  assert.match(told[0]!, /device 0/);
  assert.match(told[1]!, /99 devices ask to pair/);
});

test('a problem is reported once, and ends nothing', async (t) => {
  const { folder } = await fake(t, 'echo no display >&2; exit 1');
  const failing = notices(t, folder);
  failing.of.take(request('one'));
  await until('the problem', () => failing.problems.length > 0);
  failing.of.take(request('two'));
  assert.deepEqual(failing.problems, ['notify-send failed: no display']);
  const absent = notices(t, '/nonexistent');
  absent.of.take(request('one'));
  await until('the problem', () => absent.problems.length > 0);
  assert.deepEqual(absent.problems, ['notify-send is not installed']);
});

test('a notify-send that hangs, as without a notification daemon, ends with the agent', async (t) => {
  const { folder, runs } = await fake(t, 'echo $$ >"$0.pid"; exec sleep 1000');
  const { of, problems } = notices(t, `${folder}:${process.env.PATH}`);
  of.take(request('one'));
  const pid = await until('its start', async () =>
    Number(await readFile(join(folder, 'notify-send.pid'), 'utf8').catch(() => '')),
  );
  for (let each = 0; each < 100; each++) of.take(request('more'));
  of.close();
  await until('its end', () => {
    try {
      process.kill(pid, 0);
      return false;
    } catch {
      return true;
    }
  });
  assert.deepEqual([await runs(), problems], [[], []]);
});

test('macOS gets the texts as arguments of a fixed script', () => {
  const hostile = { title: 'A device asks to pair', text: '" & do shell script "id' };
  const [program, ...args] = commandFor('darwin', hostile);
  assert.deepEqual([program, args[0], ...args.slice(2)], ['osascript', '-e', hostile.title, hostile.text]);
  assert.doesNotMatch(args[1]!, /shell/);
});

const hostile = [
  '<b>bold</b> & <img src="x"/>',
  '&lt;b&gt;',
  '--urgency=critical',
  '-h string:x:y',
  String.raw`back\nslash \x41 \\ \0101 $(id) %s`,
  '<a href="https://example.com">click</a>',
];

const absent = ['notify-send', 'dunst', 'Xvfb', 'dbus-daemon'].filter(
  (each) => spawnSync('which', [each]).status !== 0,
);

test('a real notification daemon shows hostile names as they are', {
  skip:
    absent.length > 0 &&
    `not installed: ${absent.join(', ')} (Debian: libnotify-bin, dunst, xvfb, dbus-daemon)`,
}, async (t) => {
  const folder = await temporaryFolder(t);
  const desktop = await startDesktop(t, folder);
  for (const [index, name] of hostile.entries()) {
    const { of, problems } = notices(t, process.env.PATH!, desktop);
    of.take(request(name));
    const markup = await until('the notification', () => {
      assert.deepEqual(problems, []);
      const shown = history(desktop);
      return shown.length > index && shown[0]!;
    });
    const [, title, text] = /^<b>(.*?)<\/b>\n([^<>]*)$/s.exec(markup) ?? assert.fail(markup);
    assert.equal(title, 'A device asks to pair');
    const drawn = text!.replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&amp;', '&');
    assert.equal(drawn.split('\n')[0], name);
    assert.equal(drawn.split('\n').length, 3);
    of.close();
  }
});

/** The notifications that dunst has closed, newest first, as the markup that it draws. */
function history(desktop: NodeJS.ProcessEnv): string[] {
  const options = { env: { ...process.env, ...desktop }, encoding: 'utf8' } as const;
  execFileSync('dunstctl', ['close-all'], options);
  const { data } = JSON.parse(execFileSync('dunstctl', ['history'], options));
  return data[0].map(({ message }: { message: { data: string } }) => message.data);
}

async function startDesktop(t: TestContext, folder: string): Promise<NodeJS.ProcessEnv> {
  const start = (program: string, args: string[], env: NodeJS.ProcessEnv = {}, stdio: number[] = []) => {
    const child = spawn(program, args, {
      env: { ...process.env, HOME: folder, ...env },
      stdio: ['ignore', 'pipe', 'ignore', ...stdio.map(() => 'pipe' as const)],
    });
    t.after(async () => {
      const over = new Promise((resolve) => child.once('close', resolve));
      if (child.exitCode === null && child.signalCode === null && child.kill('SIGKILL')) await over;
    });
    return child;
  };
  const firstLine = async (child: ChildProcess) => {
    const [bytes] = await within(`a line of ${child.spawnfile}`, once(child.stdout!, 'data'));
    return String(bytes).trim();
  };
  const XDG_RUNTIME_DIR = folder;
  const bus = start('dbus-daemon', [
    '--session',
    '--nofork',
    '--print-address',
    `--address=unix:dir=${folder}`,
  ]);
  const DBUS_SESSION_BUS_ADDRESS = await firstLine(bus);
  const x = start('Xvfb', ['-displayfd', '1', '-screen', '0', '640x480x24', '-nolisten', 'tcp']);
  const DISPLAY = `:${await firstLine(x)}`;
  const desktop = { DBUS_SESSION_BUS_ADDRESS, XDG_RUNTIME_DIR, DISPLAY };
  start('dunst', ['-conf', '/dev/null'], desktop);
  await until('dunst answers', () => {
    const asked = spawnSync('dunstctl', ['is-paused'], { env: { ...process.env, ...desktop } });
    return asked.status === 0;
  });
  return desktop;
}
