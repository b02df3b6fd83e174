// The runner of `npm test`, on misbehaving test files (tests/testing/bad-files): each is one failed test, and the run continues. Files
// run alone, each in its own process, or in turn.

import assert from 'node:assert/strict';
import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { after, before, test } from 'node:test';
import { cacheFolder } from '../../scripts/cache-folder.ts';
import { buildTests, notBuilt } from '../../scripts/test/build-tests.ts';
import { livingOf } from '../../scripts/test/processes.ts';
import { type RunOptions, runTests } from '../../scripts/test/run.ts';
import { until } from '../testing/until.ts';

const linuxOnly = process.platform !== 'linux' && 'NOT TESTED: only Linux tells what left its process group';
const seconds = 1000;

const pathOf = (file: string) => join(import.meta.dirname, '../testing/bad-files', `${file}.ts`);

async function runBad(files: readonly string[], options: Partial<RunOptions> = {}) {
  const output = new PassThrough();
  const said = text(output);
  const isGood = await runTests(files.map(pathOf), {
    // A file starts slowly beside so many others. Output that is missing after this time never comes.
    bounds: { testMs: 5 * seconds, idleMs: 60 * seconds, fileMs: 120 * seconds },
    pace: { least: files.length, most: files.length },
    nodeOptions: [],
    env: {},
    looksAround: false,
    output,
    stop: new AbortController().signal,
    ...options,
  });
  output.end();
  return { isGood, said: await said };
}

/** The only message about each file. */
const verdicts: Readonly<Record<string, RegExp>> = {
  hangs: /nothing ended for 5 s, while this was running: "a test that hangs for ever"/,
  spins: /nothing ended for 5 s, while this was running: "a test that spins for ever"/,
  'stubborn-child': /nothing ended for 5 s, while this was running: "a test whose child ignores SIGTERM"/,
  crashes: /ended by SIGABRT, while this was running: "a test in which the process crashes"/,
  exits: /its process ended, while this was running: "a test that ends the process as if all were well"/,
  'does-not-load': /its process ended with exit code 1|Error: it does not load/,
  'leaves-folder': /it left files: \S+\/left-\w{6}$/m,
  ...(linuxOnly
    ? {}
    : { 'leaves-processes': /it left processes: \d+ sleep 1001; \d+ sleep 1002; \d+ sleep 1003$/m }),
};
const bad = Object.keys(verdicts);
const ways: readonly (readonly [how: string, options: Partial<RunOptions>])[] = [
  ['alone', {}],
  ['in turn', { isAlone: () => false, pace: { least: 3, most: 3 } }],
];

for (const [how, way] of ways) {
  let all: Awaited<ReturnType<typeof runBad>>;

  before(async () => {
    all = await runBad([...bad, 'passes'], way);
  });

  for (const [file, verdict] of Object.entries(verdicts)) {
    test(`${how}, a file that does this is one failed test: ${file}`, () => {
      const list = all.said.slice(all.said.indexOf('failing tests:'));
      const told = list.split(/^✖ /m).filter((each) => each.split('\n')[0]!.endsWith(`/${file}.ts`));
      assert.equal(told.length, 1, all.said);
      assert.match(told[0]!, verdict);
    });
  }

  test(`${how}, a file that does not end after its tests is one failed test`, async () => {
    const bounds = { testMs: 60 * seconds, idleMs: 5 * seconds, fileMs: 120 * seconds };
    const { isGood, said } = await runBad(['stays-open', 'passes'], { ...way, bounds });
    assert.equal(isGood, false);
    assert.match(said, /the file did not end, and no test ran for 5 s/);
    assert.match(said, /ℹ tests 4\n[\s\S]*ℹ pass 2\nℹ fail 1\n/);
  });

  test(`${how}, a file that takes too long in all is one failed test`, async () => {
    const bounds = { testMs: 60 * seconds, idleMs: 60 * seconds, fileMs: 2 * seconds };
    const { said } = await runBad(['hangs'], { ...way, bounds });
    assert.match(said, /the file took longer than 2 s/);
    assert.match(said, /ℹ fail 1\n/);
  });

  test(`${how}, the run continues after each of them, and ends with the totals in node:test’s format`, () => {
    assert.equal(all.isGood, false);
    assert.match(all.said, /✔ a test that passes/);
    assert.match(all.said, /﹣ a test that is skipped .*# why not/);
    const totals = all.said.split('\n').slice(-9, -1);
    const count = (what: string) =>
      Number(totals.find((each) => each.startsWith(`ℹ ${what} `))?.split(' ')[2]);
    assert.equal(count('fail'), bad.length, totals.join('\n'));
    assert.equal(count('skipped'), 1);
    assert.equal(count('tests'), count('pass') + count('fail') + count('skipped'));
  });

  test(`${how}, no process and no folder of them is left`, { skip: linuxOnly }, () => {
    const [folder] = /\S+(?=\/\d+\/left-)/.exec(all.said)!;
    assert.ok(!existsSync(folder));
    // Session or parent identify every process of this test. Only this process itself may be left.
    const living = livingOf({ marker: process.env.PALYRA_TEST_FILE ?? 'none', leader: process.pid });
    assert.deepEqual(
      living.filter(({ command }) => /sleep|trap|bad-files|in-turn/.test(command)),
      [],
    );
  });

  test(`${how}, an error that nobody catches fails the test that caused it`, async () => {
    const { said } = await runBad(['uncaught'], way);
    assert.match(said, /✖ a test in which a promise is rejected later .*\n +Error: nobody handles it\n/);
    assert.match(said, /✖ a test in which a timer throws .*\n +Error: nobody catches it\n/);
    assert.match(said, /ℹ tests 2\n[\s\S]*ℹ fail 2\n/);
  });
}

test('files that run in turn share a process, until one leaves something or fails, or the next is of another part of the build', async () => {
  const way = { isAlone: () => false, pace: { least: 1, most: 1 } };
  const processesOf = async (files: readonly string[], built = notBuilt) => {
    const { said } = await runBad(files, { ...way, built });
    return [...said.matchAll(/^process (\d+)$/gm)].map(([, pid]) => pid);
  };
  const [first, next] = await processesOf(['asks-first', 'passes', 'asks-next']);
  assert.ok(first !== undefined && first === next);
  for (const between of ['leaves-variable', 'leaves-processes', 'exits']) {
    const [before, behind] = await processesOf(['asks-first', between, 'asks-next']);
    assert.ok(before !== undefined && behind !== undefined && before !== behind, between);
  }
  const [ofPart, ofAnother] = await processesOf(['asks-first', 'asks-next'], {
    ...notBuilt,
    partOf: (file) => file,
  });
  assert.ok(ofPart !== undefined && ofAnother !== undefined && ofPart !== ofAnother);
});

test('a function that a file replaced twice is itself again in the next file', async () => {
  const way = { isAlone: () => false, pace: { least: 1, most: 1 } };
  const { said } = await runBad(['mocks-twice', 'asks-hostname'], way);
  const processes = [...said.matchAll(/^process (\d+)$/gm)].map(([, pid]) => pid);
  assert.equal(processes.length, 2);
  assert.equal(processes[0], processes[1]);
  assert.match(said, /ℹ fail 0\n/);
});

test('what a file that runs in turn leaves to happen later is one failed test, and not one of the next file', async () => {
  const { said } = await runBad(['fails-later', 'asks-first', 'hangs', 'asks-next'], {
    isAlone: (file) => file.endsWith('hangs.ts'),
    pace: { least: 1, most: 1 },
  });
  assert.match(said, /✔ a first test that finds nothing/);
  assert.match(said, /✔ a next test that finds nothing/);
  assert.match(said, /✖ \S+fails-later.ts \S+asks-first.ts\n +its process was ended by SIGABRT/);
  assert.match(said, /ℹ fail 2\n/);
});

test('built files fail like their sources, and the errors name source lines', async () => {
  const folder = join(cacheFolder, `test-runner-${process.pid}`);
  after(() => rmSync(folder, { recursive: true, force: true }));
  const files = ['fails', 'passes'];
  const built = await buildTests(files.map(pathOf), folder);
  const { said } = await runBad(files, { built });
  assert.match(said, /ℹ tests 3\nℹ suites 0\nℹ pass 1\nℹ fail 1\n/);
  assert.match(said, /test at tests\/testing\/bad-files\/fails\.ts:7:1\n✖ a test that fails/);
  assert.match(
    said,
    /Error: in \S+\/tests\/testing\/bad-files\n +at \S+ \(\S+\/bad-files\/fails\.ts:8:\d+\)/,
  );
  assert.ok(!said.includes(folder), said);
  const alone = await runBad(files);
  assert.match(
    alone.said,
    /Error: in \S+\/tests\/testing\/bad-files\n +at \S+ \(\S+\/bad-files\/fails\.ts:8:\d+\)/,
  );
});

test('an interrupted run ends its files with everything they started', {
  skip: linuxOnly,
}, async () => {
  const stop = new AbortController();
  const run = runBad(['spins', 'stubborn-child', 'hangs'], {
    pace: { least: 2, most: 2 },
    stop: stop.signal,
    bounds: { testMs: 60 * seconds, idleMs: 60 * seconds, fileMs: 60 * seconds },
  });
  const ours = { marker: process.env.PALYRA_TEST_FILE ?? 'none', leader: process.pid };
  const isBegun = () => livingOf(ours).some(({ command }) => command.startsWith('sleep 1000'));
  await until('the child of the test that spins', isBegun);
  stop.abort();
  const { isGood, said } = await run;
  assert.equal(isGood, false);
  assert.match(said, /the run was ended, while this was running: "a test that spins for ever"/);
  assert.match(said, /it was ended before 1 files/);
  assert.ok(!isBegun());
});
