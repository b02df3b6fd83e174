// `palyra pairing watch` on a terminal, with a real daemon and real requests.

import assert from 'node:assert/strict';
import process from 'node:process';
import { type TestContext, test } from 'node:test';
import { PairingState, pairingStates } from '@palyra/rpc/admin';
import { palyraProgram } from '../testing/palyra-process.ts';
import { TestDaemon } from '../testing/running-daemon.ts';
import { collect, makeDevice, pair, request, sameIdOtherKey } from '../testing/sample-device.ts';
import { noTerminal, type Size, Terminal } from '../testing/terminal.ts';

const skip = noTerminal;
const opened = '\u001b[?1049h\u001b[?25l\u001b[?7l';
const restored = '\u001b[?7h\u001b[?25h\u001b[?1049l';

function watch(t: TestContext, { home }: TestDaemon, size?: Size, before = ''): Terminal {
  const command = `${before}${process.execPath} ${palyraProgram} pairing watch --home ${home}`;
  // The state of the terminal afterwards, and the exit code of the command.
  return Terminal.run(t, `sh -c '${command}; echo ended with $?; stty -a'`, size);
}

/** The command has ended, and the terminal is restored. */
async function isRestored(terminal: Terminal, exitCode: number): Promise<void> {
  assert.equal(await terminal.ended, 0);
  const { output, text } = terminal;
  assert.match(text, new RegExp(`ended with ${exitCode}\\n`));
  assert.match(text, / icanon/);
  assert.match(text, / echo /);
  assert.ok(output.lastIndexOf(restored) > output.lastIndexOf(opened));
  assert.ok(
    output.lastIndexOf(restored) > output.lastIndexOf('\u001b[H'),
    'nothing is drawn after the restore',
  );
}

test('a request appears by itself, is approved with two keys, and the device gets in', {
  skip,
}, async (t) => {
  const daemon = await TestDaemon.start(t);
  const terminal = watch(t, daemon);
  await terminal.showsNow(/0 requests.*\n+No device is asking/);
  const device = await makeDevice();
  const pending = await request(daemon, device);
  // Waits for the last line, because a window arrives in pieces.
  await terminal.showsNow(/1 request,[\s\S]*a approve/);
  for (const part of [pending.words, 'a new device', 'from 127.0.0.1']) {
    assert.ok(terminal.screen.includes(part), `${part} in\n${terminal.screen}`);
  }
  const [, key] = await terminal.showsNow(/key ([0-9a-f ]+)\n/);
  const shown = await daemon.admin.getPairing({ id: pending.requestId });
  assert.equal(key!.replaceAll(' ', ''), shown.device?.identityFingerprint);
  terminal.type('a');
  await terminal.showsNow(/same words\? Approve .*\? y\/N/);
  terminal.type('y');
  await terminal.showsNow(/0 requests[\s\S]*Approved:/);
  await (await daemon.node(await collect(daemon, device, pending))).status({});
  await terminal.showsNow(/connected for the first time/);
  terminal.type('q');
  await isRestored(terminal, 0);
});

test('keys typed before the question do not answer it', { skip }, async (t) => {
  const daemon = await TestDaemon.start(t);
  const pending = await request(daemon, await makeDevice());
  const terminal = watch(t, daemon);
  await terminal.showsNow(/1 request,/);
  terminal.type('ayay');
  await terminal.showsNow(/same words\?/);
  assert.equal(
    (await daemon.admin.getPairing({ id: pending.requestId })).state,
    PairingState.PENDING_APPROVAL,
  );
  terminal.type('\u0003');
  await isRestored(terminal, 0);
});

test('a request with another identity key carries a warning, and its approval takes a typed word', {
  skip,
}, async (t) => {
  const daemon = await TestDaemon.start(t);
  const device = await makeDevice();
  await pair(daemon, device);
  const other = await makeDevice({ identity: await sameIdOtherKey(device.identity) });
  const pending = await request(daemon, other);
  const terminal = watch(t, daemon, undefined, 'NO_COLOR=1 ');
  await terminal.showsNow(/! KNOWN WITH ANOTHER IDENTITY KEY/);
  terminal.type('a');
  await terminal.showsNow(/same words\?/);
  terminal.type('y');
  await terminal.showsNow(/ANOTHER identity key\.\nType replace/);
  terminal.type('y\r');
  await terminal.showsNow(/a approve/);
  assert.equal(
    (await daemon.admin.getPairing({ id: pending.requestId })).state,
    PairingState.PENDING_APPROVAL,
  );
  terminal.type('a');
  await terminal.showsNow(/same words\?/);
  terminal.type('y');
  await terminal.showsNow(/Type replace/);
  terminal.type('replace\r');
  await terminal.showsNow(/0 requests[\s\S]*Approved:/);
  await (await daemon.node(await collect(daemon, other, pending))).status({});
  // biome-ignore lint/suspicious/noControlCharactersInRegex: colours are escape sequences.
  assert.doesNotMatch(terminal.output, /\u001b\[[0-9;]*m/, 'no colours');
  terminal.type('q');
  await isRestored(terminal, 0);
});

test('the selected one of two is rejected, with the reason that was typed', { skip }, async (t) => {
  const daemon = await TestDaemon.start(t);
  const kept = await request(daemon, await makeDevice());
  const pending = await request(daemon, await makeDevice());
  const terminal = watch(t, daemon);
  await terminal.showsNow(/2 requests/);
  terminal.type('\u001b[B');
  await terminal.showsNow(new RegExp(`> .*\\n +${pending.words}`));
  terminal.type('r');
  await terminal.showsNow(/Reject ".*\?/);
  terminal.type('not mine, thänks\r');
  await terminal.showsNow(/1 request,[\s\S]*Rejected: .*\(not mine, thänks\)/);
  const { state, reason } = await daemon.admin.getPairing({ id: pending.requestId });
  assert.deepEqual([state, reason], [PairingState.REJECTED, 'not mine, thänks']);
  assert.equal((await daemon.admin.getPairing({ id: kept.requestId })).state, PairingState.PENDING_APPROVAL);
  terminal.type('q');
  await isRestored(terminal, 0);
});

test('codes are listed with their time and guesses, and a decision made elsewhere ends the question', {
  skip,
}, async (t) => {
  const daemon = await TestDaemon.start(t);
  const terminal = watch(t, daemon);
  await terminal.showsNow(/0 open codes/);
  const pending = await request(daemon, await makeDevice());
  const { code } = await daemon.admin.mintCode({ lifeSeconds: 300 });
  await terminal.showsNow(
    new RegExp(`1 open code\\n[\\s\\S]*Code ${code.slice(0, 3)} +[45]:[0-5][0-9] and 3 guesses left`),
  );
  terminal.type('a');
  await terminal.showsNow(/same words\?/);
  await daemon.admin.rejectPairing({ id: pending.requestId });
  await terminal.showsNow(/! That request has ended\. Enter continues\./);
  terminal.type('y\r');
  await terminal.showsNow(/q quit/);
  terminal.type('q');
  await isRestored(terminal, 0);
});

test('the screen fits every window, and follows when the window changes', { skip }, async (t) => {
  const daemon = await TestDaemon.start(t);
  await request(daemon, await makeDevice());
  const terminal = watch(t, daemon, { columns: 40, rows: 16 });
  const fits = ({ columns, rows }: Size) => {
    const lines = terminal.screen.split('\n');
    assert.ok(lines.length <= rows, `${lines.length} lines:\n${terminal.screen}`);
    for (const line of lines) assert.ok(line.length <= columns, line);
  };
  await terminal.showsNow(/1 request[\s\S]*q quit/);
  fits({ columns: 40, rows: 16 });
  await terminal.resize({ columns: 20, rows: 5 });
  await terminal.showsNow(/too\s+small/);
  fits({ columns: 20, rows: 5 });
  await terminal.resize({ columns: 120, rows: 40 });
  await terminal.showsNow(/up\/down select {2}a approve {2}r reject {2}\? help {2}q quit/);
  assert.match(terminal.screen, /1 request/);
  terminal.type('?');
  await terminal.showsNow(/up, down, j, k/);
  terminal.type('q');
  await terminal.showsNow(/\? help/);
  terminal.type('q');
  await isRestored(terminal, 0);
});

test('the screen waits for a daemon that stops, and shows the waiting requests again', {
  skip,
}, async (t) => {
  const first = await TestDaemon.start(t);
  const device = await makeDevice();
  const pending = await request(first, device);
  const terminal = watch(t, first);
  await terminal.showsNow(/1 request,/);
  await first.stop();
  await terminal.showsNow(/! The daemon does not answer\. Retrying\./);
  const second = await TestDaemon.start(t, { home: first.home });
  await terminal.showsNow(/1 request,[\s\S]*The daemon is answering again\.[\s\S]*a approve/);
  terminal.type('a');
  await terminal.showsNow(new RegExp(`${pending.words}\nDoes the device`));
  terminal.type('y');
  await terminal.showsNow(/0 requests[\s\S]*Approved:/);
  const { state } = await second.admin.getPairing({ id: pending.requestId });
  assert.match(pairingStates.show(state), /approved|issued/);
  terminal.type('q');
  await isRestored(terminal, 0);
});

for (const [signal, exitCode] of [
  ['INT', 130],
  ['TERM', 143],
  ['HUP', 143],
] as const) {
  test(`SIG${signal} ends the screen with ${exitCode} and restores the terminal`, { skip }, async (t) => {
    const daemon = await TestDaemon.start(t);
    const sendsItself = `sh -c "echo my pid \\$\\$; exec ${process.execPath} ${palyraProgram} pairing watch --home ${daemon.home}"`;
    const terminal = Terminal.run(t, `sh -c '${sendsItself}; echo ended with $?; stty -a'`);
    const [, pid] = await terminal.shows(/my pid (\d+)/);
    await terminal.showsNow(/0 requests/);
    process.kill(Number(pid), `SIG${signal}`);
    await isRestored(terminal, exitCode);
  });
}

test('without a daemon the command fails at once, and leaves the screen untouched', { skip }, async (t) => {
  const daemon = await TestDaemon.start(t);
  await daemon.stop();
  const terminal = watch(t, daemon);
  assert.equal(await terminal.ended, 0);
  assert.match(terminal.text, /No daemon runs in the home[\s\S]*UNREACHABLE\]\n+ended with 7/);
  assert.ok(!terminal.output.includes(opened));
});

test('without a terminal the command prints lines', { skip }, async (t) => {
  const daemon = await TestDaemon.start(t);
  for (const before of ['TERM=dumb ', '</dev/null ', '']) {
    const terminal = Terminal.run(
      t,
      `sh -c '${before}${process.execPath} ${palyraProgram} pairing watch --home ${daemon.home}${before ? '' : ' | cat'}'`,
    );
    await terminal.shows(/Watching\. Press Ctrl-C to stop\./);
    const { code } = await daemon.admin.mintCode({});
    await terminal.shows(new RegExp(`^[0-9:]{8} {2}Code ${code.slice(0, 3)} waits for a device\\.$`, 'm'));
    assert.ok(!terminal.output.includes(opened));
    await terminal.pressCtrlC();
  }
});
