import assert from 'node:assert/strict';
import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Command } from 'commander';
import { buildProgram } from './program.ts';
import { recorded, runRecorded, temporaryFolder } from './testing/recorded-run.ts';

const id = '01KAT0MZP8C4T7T1JQ5Z7K3QX9';
/** The commands that need the daemon of the home, with sample arguments. */
const operatorCommands = [
  'status',
  `why ${id}`,
  'pairing code',
  'pairing list',
  `pairing show ${id}`,
  'pairing approve',
  `pairing approve ${id}`,
  `pairing reject ${id}`,
  'pairing watch',
  'devices list',
  `devices show ${id}`,
  `devices rename ${id} name`,
  `devices revoke ${id} --yes`,
  'ca show',
  'ca export',
  'audit list',
  'audit verify',
];

function* eachCommand(command: Command, path: string): Generator<{ path: string; command: Command }> {
  yield { path, command };
  for (const each of command.commands) yield* eachCommand(each, `${path} ${each.name()}`);
}

const commands = [...eachCommand(await buildProgram(recorded().invocation), 'palyra')];

for (const { path } of commands) {
  test(`the help of "${path}" shows an example that parses, --home, --json and the exit codes`, async () => {
    const args = [...path.split(' ').slice(1), '--help'];
    const { exitCode, stdout } = await runRecorded({ args });
    assert.equal(exitCode, 0);
    const examples = /\nExamples?:\n((?: {2}palyra .+\n)+)/.exec(stdout)?.[1];
    assert.ok(examples, stdout);
    assert.match(stdout, /--home <folder>/);
    assert.match(stdout, /--json/);
    assert.match(stdout, /\nExit codes:/);
    for (const line of examples.trim().split('\n')) {
      // --help instead of a run: commander would still refuse an unknown command.
      const words = line
        .trim()
        .replace(/ [<>] .*$/, '')
        .split(' ')
        .slice(1);
      const asked = await runRecorded({ args: [...words.map((word) => word.replaceAll('"', '')), '--help'] });
      assert.equal(asked.exitCode, 0, line);
      assert.match(asked.stdout, new RegExp(`^Usage: ${path}`), line);
    }
  });
}

test('the help of the program documents the exit codes', async () => {
  const { stdout } = await runRecorded({ args: ['--help'] });
  assert.match(stdout, /Exit codes:\n {2}0 {2}done/);
});

for (const line of operatorCommands) {
  test(`"${line}" without a daemon ends with UNREACHABLE, says how to start the daemon, and leaves nothing behind`, async (t) => {
    const home = await temporaryFolder(t);
    const args = [...line.split(' '), '--home', home];
    const person = await runRecorded({ args });
    assert.equal(person.exitCode, 7);
    assert.equal(person.stdout, '');
    assert.match(
      person.stderr,
      /^error: No daemon runs in the home .* Start it: palyra daemon --home .* \[UNREACHABLE\]\n$/,
    );
    const program = await runRecorded({ args: [...args, '--json'] });
    assert.equal(program.exitCode, 7);
    assert.equal(program.stderr, '');
    assert.equal(JSON.parse(program.stdout).error.code, 'UNREACHABLE');
    assert.deepEqual(await readdir(home), []);
  });
}

for (const line of ['secrets rekey', 'backup b.age']) {
  test(`"${line}" on a home without a daemon ends with 4, and creates no daemon`, async (t) => {
    const home = await temporaryFolder(t);
    const args = [...line.split(' '), '--home', home];
    const { exitCode, stdout, stderr } = await runRecorded({ args });
    assert.equal(exitCode, 4, stderr);
    assert.equal(stdout, '');
    assert.match(stderr, /daemon does not exist\. Start the daemon once, .*--home DIR \[NOTHING_FOUND\]\n$/);
    assert.deepEqual(await readdir(home), []);
  });
}

test('a missing backup is reported before the question for its passphrase', async (t) => {
  const home = await temporaryFolder(t);
  const file = join(home, 'nope.age');
  const { exitCode, stderr } = await runRecorded({ args: ['restore', file, '--home', home] });
  assert.equal(exitCode, 1);
  assert.ok(
    stderr.startsWith(
      `error: ${file} cannot be read: there is no such file or folder (ENOENT). [FILE_FAILED]`,
    ),
    stderr,
  );
  assert.match(stderr, /\[FILE_FAILED\]\n$/);
  assert.deepEqual(await readdir(home), []);
});

test('a missing folder for the backup is reported before the question for its passphrase', async (t) => {
  const home = await temporaryFolder(t);
  await mkdir(join(home, 'daemon', 'secrets'), { recursive: true });
  const file = join(home, 'nodir', 'b.age');
  const { exitCode, stderr } = await runRecorded({ args: ['backup', file, '--home', home] });
  assert.equal(exitCode, 1);
  assert.ok(
    stderr.startsWith(
      `error: ${file} cannot be written: there is no such file or folder (ENOENT). [FILE_FAILED]`,
    ),
    stderr,
  );
  assert.match(stderr, /\[FILE_FAILED\]\n$/);
});

test('an unpaired device gets NOT_PAIRED, and nothing is left behind', async (t) => {
  const home = await temporaryFolder(t);
  const { exitCode, stdout } = await runRecorded({ args: ['node', 'status', '--home', home, '--json'] });
  assert.equal(exitCode, 4);
  assert.equal(JSON.parse(stdout).error.code, 'NOT_PAIRED');
  assert.deepEqual(await readdir(home), []);
});

for (const [line, says] of [
  ['', /^Usage: palyra/],
  ['pairing', /^Usage: palyra pairing/],
  ['nonsense', /unknown command 'nonsense'\. See: palyra --help \[USAGE\]/],
  ['pairing lst', /unknown command 'lst' \(Did you mean list\?\) See: palyra pairing --help/],
  ['pairing list --al', /unknown option '--al' \(Did you mean --all\?\) See: palyra pairing list --help/],
  ['pairing show', /missing required argument 'pairing'\. See: palyra pairing show --help/],
  ['pairing code --life 5', /a number and a unit/],
  ['audit list --limit 0', /a number from 1 to 1000/],
  ['audit list --limit 1e3', /a number from 1 to 1000/],
  ['pair host --kind toaster', /Allowed choices are cli, desktop, browser, node/],
  ['pair one two', /Give one address/],
  ['pair a/b', /is not an address/],
] as const) {
  test(`"palyra ${line}" is a usage error`, async (t) => {
    const args = line.split(' ').filter(Boolean);
    const home = await temporaryFolder(t);
    const { exitCode, stdout, stderr } = await runRecorded({ args: [...args, '--home', home] });
    assert.equal(exitCode, 2);
    assert.equal(stdout, '');
    assert.match(stderr, says);
  });
}

test('a usage error is JSON with --json, wherever the option stands', async () => {
  for (const args of [
    ['--json', 'nonsense'],
    ['pairing', 'lst', '--json'],
    ['pairing', '--json'],
  ]) {
    const { exitCode, stdout } = await runRecorded({ args });
    assert.equal(exitCode, 2);
    assert.equal(JSON.parse(stdout).error.code, 'USAGE');
  }
});

test('the version is that of the package', async () => {
  const { exitCode, stdout } = await runRecorded({ args: ['--version'] });
  assert.equal(exitCode, 0);
  assert.match(stdout, /^\d+\.\d+\.\d+\n$/);
});

test('input without --input is refused with a hint, and the help shows each default once', async () => {
  const { exitCode, stderr } = await runRecorded({ args: ['node', 'exec', '7K3QX9AB', 'echo', '{"a":1}'] });
  assert.equal(exitCode, 2);
  assert.match(stderr, /--input '\{"hello":1\}' \[USAGE\]/);
  const help = await runRecorded({ args: ['node', 'exec', '--help'], columns: 120 });
  assert.match(help.stdout, /give up after this time \(default: 30s\)\n/);
});
