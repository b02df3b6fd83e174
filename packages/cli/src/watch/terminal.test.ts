import assert from 'node:assert/strict';
import { test } from 'node:test';
import { recorded } from '../testing/recorded-run.ts';
import { hasWindow, type TerminalEvents, TerminalWindow } from './terminal.ts';

const leave = '\u001b[?7h\u001b[?25h\u001b[?1049l';
const events: TerminalEvents = { typed() {}, resized() {}, lost() {} };

/** A terminal that records everything written to it. */
function terminal({ columns = 40, rows = 3 } = {}) {
  const run = recorded({ columns });
  const raw: boolean[] = [];
  const atExit = new Set<() => void>();
  const invocation = {
    ...run.invocation,
    stdin: Object.assign(run.invocation.stdin, { isTTY: true, setRawMode: (on: boolean) => raw.push(on) }),
    stdout: Object.assign(run.invocation.stdout, { rows }),
    atExit: (work: () => void) => {
      atExit.add(work);
      return () => atExit.delete(work);
    },
  };
  return { invocation, raw, atExit, output: run.stdout };
}

test('closing the window once or twice restores the terminal once', () => {
  const { invocation, raw, atExit, output } = terminal();
  const window = new TerminalWindow(invocation, events);
  window.draw(['one']);
  window.close();
  window.close();
  window.draw(['two']);
  assert.deepEqual(raw, [true, false]);
  assert.ok(output().endsWith(`one\r\n\u001b[J${leave}`));
  assert.equal(output().split(leave).length, 2);
  assert.equal(atExit.size, 0);
});

test('a process that ends without closing the window also restores the terminal', () => {
  const { invocation, raw, atExit, output } = terminal();
  new TerminalWindow(invocation, events);
  for (const work of [...atExit]) work();
  assert.deepEqual(raw, [true, false]);
  assert.ok(output().endsWith(leave));
});

test('lines already drawn are not sent again until forget()', () => {
  const { invocation, output } = terminal();
  const window = new TerminalWindow(invocation, events);
  window.draw(['one']);
  const before = output();
  window.draw(['one']);
  assert.equal(output(), before);
  window.forget();
  window.draw(['one']);
  assert.ok(output().length > before.length);
});

test('a drawing as high as the window does not scroll it', () => {
  const { invocation, output } = terminal({ rows: 2 });
  const window = new TerminalWindow(invocation, events);
  window.draw(['one', 'two']);
  assert.ok(output().endsWith('\u001b[H\u001b[2Kone\r\n\u001b[2Ktwo'));
});

test('there is no window without a keyboard, without a screen, or on a terminal that only prints', () => {
  const { invocation } = terminal();
  assert.equal(hasWindow(invocation), true);
  assert.equal(hasWindow({ ...invocation, dumbTerminal: true }), false);
  assert.equal(hasWindow({ ...invocation, stdin: recorded().invocation.stdin }), false);
  assert.equal(hasWindow({ ...invocation, stdout: recorded().invocation.stdout }), false);
});
