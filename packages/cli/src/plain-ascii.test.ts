import assert from 'node:assert/strict';
import { test } from 'node:test';
import { plainAscii, plainSink, showsBoxes } from './plain-ascii.ts';
import { box, table } from './table.ts';
import { recorded } from './testing/recorded-run.ts';

test('a box and a shortened cell are ASCII, and as wide as before', () => {
  const lines = plainAscii(box('960-224090')).split('\n');
  assert.deepEqual(lines, ['  +----------------+', '  |   960-224090   |', '  +----------------+']);
  const shown = table(['NAME'], [['the sensor in the kitchen']], { columns: 10 });
  assert.equal(plainAscii(shown), shown.replaceAll('…', '~'));
});

test('words of people stay as they are', () => {
  for (const name of ['Łódź 🚪', 'Küche', '家', 'a - b | c']) assert.equal(plainAscii(name), name);
});

test('locale and terminal decide, as POSIX ranks the variables', () => {
  assert.equal(showsBoxes({ LANG: 'en_GB.UTF-8', TERM: 'xterm-256color' }, true), true);
  assert.equal(showsBoxes({ LANG: 'C.utf8', TERM: 'xterm' }, true), true);
  assert.equal(showsBoxes({ TERM: 'xterm' }, true), true);
  assert.equal(showsBoxes({ LC_ALL: 'C', LANG: 'en_GB.UTF-8', TERM: 'xterm' }, true), false);
  assert.equal(showsBoxes({ LC_CTYPE: 'de_DE.ISO-8859-1', LANG: 'de_DE.UTF-8' }, true), false);
  assert.equal(showsBoxes({ LC_ALL: '', LANG: 'POSIX' }, false), false);
  for (const TERM of ['dumb', 'linux', 'vt100', 'vt220']) {
    assert.equal(showsBoxes({ LANG: 'C.UTF-8', TERM }, true), false, TERM);
    assert.equal(showsBoxes({ LANG: 'C.UTF-8', TERM }, false), true, `${TERM}, not to a terminal`);
  }
});

test('a plain sink translates what is written, and is otherwise the sink', () => {
  const run = recorded({ columns: 60 });
  const sink = plainSink(run.invocation.stdout);
  sink.write('┌─┐\n');
  assert.equal(run.stdout(), '+-+\n');
  assert.equal(sink.columns, 60);
  assert.equal(sink.isTTY, run.invocation.stdout.isTTY);
});
