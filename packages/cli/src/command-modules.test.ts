import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Command } from 'commander';
import { commandModules, neededModules } from './command-modules.ts';
import { runRecorded } from './testing/recorded-run.ts';

const wordsOf = (...args: string[]) => neededModules(args).flatMap(({ words }) => words);
const all = commandModules.flatMap(({ words }) => words);

test('each module has the commands that it is listed with', async () => {
  for (const { words, load } of commandModules) {
    const program = new Command();
    (await load())(program, () => assert.fail('no command runs'));
    assert.deepEqual(
      program.commands.map((command) => command.name()),
      words,
    );
  }
});

test('a command loads its own module, wherever its word stands', () => {
  assert.deepEqual(wordsOf('devices', 'list'), ['devices']);
  assert.deepEqual(wordsOf('--json', '--home', 'daemon', 'why', 'x'), ['status', 'why']);
  assert.deepEqual(wordsOf('--home=daemon', '--remote-daemon', 'ca', 'audit', 'list'), ['audit']);
  assert.deepEqual(wordsOf('--version'), []);
});

test('help and unknown commands load all', () => {
  for (const args of [[], ['--help'], ['help', 'ca'], ['device'], ['--json'], ['--home', 'ca']])
    assert.deepEqual(wordsOf(...args), all, args.join(' '));
});

test('completion loads the command of the line, unless its word is incomplete', () => {
  assert.deepEqual(wordsOf('complete', '--', 'devices', 'show', ''), ['completion', 'complete', 'devices']);
  assert.deepEqual(wordsOf('complete', '--', '--home', '/h', 'ca', ''), ['completion', 'complete', 'ca']);
  assert.deepEqual(wordsOf('complete', '--', 'pair'), all);
  assert.deepEqual(wordsOf('complete', '--', ''), all);
});

test('a wrong word is answered with the right one of another module', async () => {
  const { stderr, exitCode } = await runRecorded({ args: ['devics', 'list'] });
  assert.match(stderr, /Did you mean devices/);
  assert.equal(exitCode, 2);
});
