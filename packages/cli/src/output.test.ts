import assert from 'node:assert/strict';
import { Writable } from 'node:stream';
import { test } from 'node:test';
import { Output } from './output.ts';
import { recorded } from './testing/recorded-run.ts';

const failure = { exitCode: 3, code: 'DEVICE_REVOKED', message: 'This device was revoked.' };
const esc = '\u001b';

test('an answer is text for people and one line of JSON for programs, on stdout', () => {
  for (const [json, expected] of [
    [false, 'two devices\n'],
    [true, '{"devices":2}\n'],
  ] as const) {
    const run = recorded();
    new Output(run.invocation, json).answer({ devices: 2 }, () => 'two devices');
    assert.equal(run.stdout(), expected);
    assert.equal(run.stderr(), '');
  }
});

test('a failure is an error line with its code on stderr', () => {
  const run = recorded();
  new Output(run.invocation, false).failure({ ...failure, retryAfterMs: 60_000 });
  assert.equal(run.stderr(), 'error: This device was revoked. Try again in 60 s. [DEVICE_REVOKED]\n');
  assert.equal(run.stdout(), '');
});

test('with --json a failure is a document on stdout and stderr stays empty', () => {
  const run = recorded();
  const output = new Output(run.invocation, true);
  output.note('a note');
  output.failure({ ...failure, retryAfterMs: 60_000 });
  assert.deepEqual(JSON.parse(run.stdout()), {
    error: { code: 'DEVICE_REVOKED', message: 'This device was revoked.', retry_after_ms: 60_000 },
  });
  assert.equal(run.stderr(), '');
});

test('a failure that quotes control characters cannot drive the terminal', () => {
  const run = recorded();
  new Output(run.invocation, false).failure({ ...failure, message: `a ${esc}[2Jb\nsecond line` });
  assert.ok(!run.stderr().includes(esc));
  assert.equal(run.stderr().split('\n')[1], 'second line [DEVICE_REVOKED]');

  const bug = recorded();
  new Output(bug.invocation, false).failure({ ...failure, stack: `SyntaxError: ${esc}]0;a title\n  at b` });
  assert.ok(!bug.stderr().includes(esc));
  assert.ok(bug.stderr().endsWith('\n  at b\n'));
});

test('an answer, a note and a progress line contain no escape sequences except our own colours', () => {
  const hostile = `${esc}]52;c;ZXZpbA==\u0007 \u009d0;title\u009c \u202eb`;
  const run = recorded({ columns: 80 });
  const output = new Output(run.invocation, false);
  output.answer(undefined, () => `${output.paint('bold', 'words')} ${hostile}`);
  output.note(hostile);
  assert.equal(
    run.stdout(),
    `${esc}[1mwords${esc}[22m \ufffd]52;c;ZXZpbA==\ufffd \ufffd0;title\ufffd \ufffdb\n`,
  );
  assert.equal(run.stderr(), '\ufffd]52;c;ZXZpbA==\ufffd \ufffd0;title\ufffd \ufffdb\n');
});

test('there are colours on a terminal, and none with NO_COLOR or in a pipe', () => {
  const colored = (options: Parameters<typeof recorded>[0]) => {
    const run = recorded(options);
    const output = new Output(run.invocation, false);
    output.answer(undefined, () => output.paint('bold', 'words'));
    output.failure(failure);
    return [run.stdout().includes(esc), run.stderr().includes(esc)];
  };
  assert.deepEqual(colored({ columns: 80 }), [true, true]);
  assert.deepEqual(colored({ columns: 80, noColor: true }), [false, false]);
  assert.deepEqual(colored({}), [false, false]);
});

test('on a terminal, progress shows from the first second on, and other output goes above it', (t) => {
  t.mock.timers.enable({ apis: ['setInterval'] });
  const run = recorded({ columns: 80, noColor: true });
  const output = new Output(run.invocation, false);
  const stop = output.progress(() => 'Waiting');
  t.mock.timers.tick(999);
  assert.equal(run.stderr(), '');
  t.mock.timers.tick(1);
  assert.match(run.stderr(), /^Waiting \(\d+ s\)$/);
  output.note('Something happened.');
  assert.ok(run.stderr().endsWith(`s)\r${esc}[2KSomething happened.\n`));
  t.mock.timers.tick(1000);
  stop();
  const shown = run.stderr();
  assert.ok(shown.endsWith(`\r${esc}[2K`));
  t.mock.timers.tick(5000);
  assert.equal(run.stderr(), shown);
});

test('there is no progress in a pipe or with --json', (t) => {
  t.mock.timers.enable({ apis: ['setInterval'] });
  for (const [columns, json] of [
    [undefined, false],
    [80, true],
  ] as const) {
    const run = recorded(columns === undefined ? {} : { columns });
    new Output(run.invocation, json).progress(() => 'Waiting');
    t.mock.timers.tick(3000);
    assert.equal(run.stderr(), '');
  }
});

test('unread output is dropped by a run that outlives its output, and kept by any other run', () => {
  for (const isOutlived of [true, false]) {
    const unread = new Writable({ write() {} });
    const output = new Output({ ...recorded().invocation, stdout: unread }, false);
    if (isOutlived) output.dropUnread();
    const line = 'x'.repeat(64 * 1024);
    for (let index = 0; index < 100; index += 1) output.answer({}, () => line);
    assert.equal(unread.writableLength < 2 * 1024 * 1024, isOutlived);
  }
});
