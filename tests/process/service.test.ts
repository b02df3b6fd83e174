// The daemon under a service manager: readiness, watchdog messages, and the stop.

import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import http2 from 'node:http2';
import { connect } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { configure, makeHome, PalyraProcess, palyraProgram } from '../testing/palyra-process.ts';
import { temporaryFolder } from '../testing/temporary-folder.ts';
import { within } from '../testing/until.ts';

const noNotify =
  spawnSync('systemd-notify', ['--version']).status === 0
    ? false
    : 'systemd-notify is not installed (Debian package: systemd)';

interface Message {
  readonly words: Readonly<Record<string, string>>;
  readonly sender: number;
}

/** The other end of NOTIFY_SOCKET, in another language. */
class Receiver {
  readonly messages: Message[] = [];
  #look: () => void = () => {};

  static async listen(t: TestContext, address: string): Promise<Receiver> {
    const program = join(import.meta.dirname, '../testing/notify_receiver.py');
    const child: ChildProcess = spawn('/usr/bin/python3', [program, address], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    t.after(() => child.kill());
    const receiver = new Receiver();
    const listening = Promise.withResolvers<void>();
    child.once('error', listening.reject);
    child.once('exit', () => listening.reject(new Error('the receiver ended')));
    createInterface(child.stdout!).on('line', (line) => {
      const said = JSON.parse(line);
      if (said.listening) return listening.resolve();
      receiver.messages.push(said);
      receiver.#look();
    });
    await listening.promise;
    return receiver;
  }

  async message(word: string, times = 1): Promise<Message> {
    for (;;) {
      const found = this.messages.filter(({ words }) => word in words);
      if (found.length >= times) return found[times - 1]!;
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#look = resolve;
      await within(`${word}, told to the service manager`, promise);
    }
  }
}

for (const kind of ['a path', 'the abstract namespace'] as const) {
  test(`the daemon reports on ${kind} that it is ready, alive and stopping`, {
    skip: noNotify,
  }, async (t) => {
    const folder = temporaryFolder();
    const address = kind === 'a path' ? join(folder, 'notify') : `@palyra-${randomBytes(8).toString('hex')}`;
    const receiver = await Receiver.listen(t, address);
    const home = await makeHome(t);
    const daemon = PalyraProcess.start(['daemon'], {
      home,
      env: { NOTIFY_SOCKET: address, WATCHDOG_USEC: '300000' },
    });
    t.after(async () => void (await daemon.end('SIGKILL')));
    const { words } = await receiver.message('READY');
    const started = await daemon.line(({ event }) => event === 'ready');
    assert.deepEqual(words, {
      READY: '1',
      STATUS: `Serving ${started.trust_domain}`,
      MAINPID: String(daemon.pid),
    });
    await receiver.message('WATCHDOG', 2);
    assert.equal((await daemon.end('SIGTERM')).exitCode, 0);
    const stopping = await receiver.message('STOPPING');
    assert.match(stopping.words.STATUS!, /^Stopping/);
    assert.equal(receiver.messages[0]!.words.READY, '1');
    assert.equal(receiver.messages.at(-1), stopping, 'it sends no watchdog message after that');
  });
}

test('an unreachable service manager is reported, and the daemon runs', { skip: noNotify }, async (t) => {
  const home = await makeHome(t);
  const env = { ...process.env, NOTIFY_SOCKET: '/nowhere/notify', WATCHDOG_USEC: '1e9' };
  const daemon = spawn(process.execPath, [palyraProgram, 'daemon', '--no-code', '--home', home], { env });
  t.after(() => daemon.kill('SIGKILL'));
  let stderr = '';
  const told = Promise.withResolvers<void>();
  daemon.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
    if (/READY/.test(stderr) && /WATCHDOG_USEC/.test(stderr)) told.resolve();
  });
  const ended = new Promise<number | null>((resolve) => daemon.once('exit', (code) => resolve(code)));
  await Promise.race([told.promise, ended]);
  assert.match(stderr, /Sending READY=1 to the service manager failed: Failed to notify/);
  assert.match(stderr, /WATCHDOG_USEC is not a time in microseconds/);
  daemon.kill('SIGTERM');
  assert.equal(await ended, 0);
});

test('the daemon sends no watchdog messages that another process should send', {
  skip: noNotify,
}, async (t) => {
  const address = `@palyra-${randomBytes(8).toString('hex')}`;
  const receiver = await Receiver.listen(t, address);
  const env = { NOTIFY_SOCKET: address, WATCHDOG_USEC: '1000', WATCHDOG_PID: '1' };
  const daemon = PalyraProcess.start(['daemon'], { home: await makeHome(t), env });
  t.after(async () => void (await daemon.end('SIGKILL')));
  await receiver.message('READY');
  await daemon.end('SIGTERM');
  await receiver.message('STOPPING');
  assert.deepEqual(
    receiver.messages.filter(({ words }) => 'WATCHDOG' in words),
    [],
  );
});

test('a second signal cuts a call that never ends, and the daemon still exits cleanly', {
  timeout: 45_000,
}, async (t) => {
  const home = await makeHome(t);
  await configure(home, { limits: { stopGraceMs: 60_000 } });
  const daemon = PalyraProcess.start(['daemon'], { home });
  t.after(async () => void (await daemon.end('SIGKILL')));
  await daemon.line(({ event }) => event === 'ready');
  const session = http2.connect('http://admin.invalid', {
    createConnection: () => connect(join(home, 'daemon', 'admin.sock')),
  });
  t.after(() => session.destroy());
  session.on('error', () => {});
  await once(session, 'connect');
  // An incomplete request.
  const call = session.request({
    ':method': 'POST',
    ':path': '/palyra.admin.v1.AdminService/GetStatus',
    'content-type': 'application/proto',
  });
  call.on('error', () => {});
  // A ping overtakes earlier frames in the queue, but the second ping cannot.
  for (let pings = 0; pings < 2; pings++) await new Promise((resolve) => session.ping(resolve));
  const toldToGo = once(session, 'goaway');
  process.kill(daemon.pid, 'SIGTERM');
  await toldToGo;
  assert.equal(call.closed, false);
  // A signal within a second counts as the same Ctrl-C, forwarded.
  await sleep(1_100);
  assert.equal(call.closed, false);
  const { exitCode, lines } = await daemon.end('SIGTERM');
  assert.equal(exitCode, 0);
  assert.deepEqual(lines.at(-1), { event: 'stopped' });
});

const noSystemd =
  existsSync('/run/systemd/system') && process.getuid?.() === 0
    ? false
    : 'systemd does not run here, or not for us';

test('systemd waits until it is ready, and stops it cleanly', { skip: noSystemd || noNotify }, async (t) => {
  const home = await makeHome(t);
  const unit = `palyra-test-${randomBytes(4).toString('hex')}`;
  const run = (command: string, ...args: string[]) => spawnSync(command, args, { encoding: 'utf8' });
  t.after(() => void run('systemctl', 'stop', unit));
  const properties = ['Type=notify', 'NotifyAccess=all', 'WatchdogSec=30'];
  const started = run(
    'systemd-run',
    `--unit=${unit}`,
    ...properties.map((each) => `--property=${each}`),
    process.execPath,
    palyraProgram,
    'daemon',
    '--no-code',
    `--home=${home}`,
  );
  assert.equal(started.status, 0, started.stderr);
  const shown = run('systemctl', 'show', unit, '--property=SubState,StatusText').stdout;
  assert.match(shown, /SubState=running/);
  assert.match(shown, /StatusText=Serving /);
  assert.equal(run('systemctl', 'stop', unit).status, 0);
});
