import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Command } from 'commander';
import { buildProgram } from '../program.ts';
import { recorded } from '../testing/recorded-run.ts';
import { complete } from './candidates.ts';

const program = await buildProgram(recorded().invocation);
/** The matching values, or their source. */
const completed = (...words: readonly string[]) => {
  const completion = complete(program, words);
  return 'words' in completion ? completion.words.map(({ value }) => value) : completion.source;
};

test('every visible command is completed from its first letter, with its description', () => {
  const look = (command: Command, path: readonly string[]): number => {
    const visible = command.createHelp().visibleCommands(command);
    for (const each of visible) {
      const { words } = complete(program, [...path, each.name().slice(0, 1)]) as {
        words: { value: string; description: string }[];
      };
      assert.ok(words.find(({ value }) => value === each.name())?.description, each.name());
    }
    const below = command.commands.filter((each) => each.commands.length > 0);
    return visible.length + below.reduce((sum, each) => sum + look(each, [...path, each.name()]), 0);
  };
  assert.ok(look(program, []) > 30);
});

test('the command for completion scripts is not offered', () => {
  assert.deepEqual(completed('complet'), ['completion']);
});

test('every option of a command is completed, and every common option', () => {
  const offered = completed('pairing', 'approve', '--');
  for (const each of ['--replace-key', '--name', '--help', '--home', '--json']) {
    assert.ok(offered.includes(each), each);
  }
  assert.ok(!offered.includes('--reason'), 'an option of another command');
  assert.deepEqual(completed('pairing', 'approve', '--repl'), ['--replace-key']);
  assert.deepEqual(completed('--js'), ['--json']);
});

test('choices of options and arguments are completed, however the shell splits the words', () => {
  assert.deepEqual(completed('pair', '--kind', ''), ['cli', 'desktop', 'browser', 'node']);
  assert.deepEqual(completed('pair', '--kind', '=', 'n'), ['node']);
  assert.deepEqual(completed('pair', '--kind', '='), ['cli', 'desktop', 'browser', 'node']);
  assert.deepEqual(completed('pair', '--kind=n'), ['--kind=node']);
  assert.deepEqual(completed('ca', 'rotate-root', 'pre'), ['prepare']);
  assert.deepEqual(completed('completion', ''), ['bash', 'zsh', 'fish']);
});

test('for files, folders and ids the source is named', () => {
  assert.equal(completed('backup', ''), 'file');
  assert.equal(completed('daemon', '--config', ''), 'file');
  assert.equal(completed('--home', ''), 'folder');
  assert.equal(completed('node', 'run', '--out', ''), 'folder');
  assert.equal(completed('devices', 'show', ''), 'device');
  assert.equal(completed('node', 'exec', ''), 'device');
  assert.equal(completed('pairing', 'approve', ''), 'request');
  assert.equal(completed('pairing', 'reject', ''), 'pairing');
  assert.equal(completed('why', ''), 'id');
});

test('ids come from the daemon that the line names', () => {
  for (const words of [
    ['--home', '/h', 'devices', 'show', ''],
    ['devices', 'show', '--home=/h', ''],
    ['devices', '--home', '=', '/h', 'show', ''],
  ]) {
    const expected = { source: 'device', options: { home: '/h' } };
    assert.deepEqual(complete(program, words), expected, words.join(' '));
  }
  assert.deepEqual(
    complete(program, ['--remote', '--remote-daemon', 'D', 'pairing', 'approve', '--name', 'x', '']),
    {
      source: 'request',
      options: { remote: true, remoteDaemon: 'D' },
    },
  );
  assert.deepEqual(completed('--remote-daemon', ''), []);
});

test('an option between the words does not hide the command, and its value is not taken for one', () => {
  assert.deepEqual(completed('--home', 'pairing', 'pairing', 'appr'), ['approve']);
  assert.deepEqual(completed('--json', 'ca', 'rotate-root', 'fi'), ['finish']);
  assert.equal(completed('pairing', 'approve', '--name', 'kitchen', ''), 'request');
});

test('where the command takes no more words, nothing is offered', () => {
  assert.deepEqual(completed('devices', 'show', 'ONE', ''), []);
  assert.deepEqual(completed('pairing', 'reject', 'ONE', '--reason', ''), []);
  assert.deepEqual(completed('devices', 'show', '--', 'ONE', '--'), []);
  assert.deepEqual(completed('nonsense', 'x', '--nothing', ''), []);
  assert.deepEqual(completed(), completed(''));
});
