import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, chown, mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { gone, isAlive } from '../../../tests/testing/gone.ts';
import { temporaryFolder } from '../../../tests/testing/temporary-folder.ts';
import { until } from '../../../tests/testing/until.ts';
import { folderCapabilities } from './folder.ts';

const input = Buffer.from('null');

/** @param script writes a process id to `$PID_FILE`. */
async function capability(t: TestContext, script: string) {
  const folder = temporaryFolder();
  const pidFile = join(folder, 'PID');
  await writeFile(join(folder, 'it'), `#!/bin/sh\n${script}`, { mode: 0o700 });
  const environment = { PATH: process.env.PATH, PID_FILE: pidFile };
  const run = (await folderCapabilities(folder, environment)).get('it')!;
  const pid = async () => {
    const written = () => readFile(pidFile, 'utf8').catch(() => '');
    const text = await until('a program that writes its id', async () => /^\d+\n$/.exec(await written()));
    const found = Number(text[0]);
    t.after(() => {
      if (isAlive(found)) process.kill(found, 'SIGKILL');
    });
    return found;
  };
  return { folder, run, pid };
}

const onLinux = process.platform === 'linux' ? false : 'only Linux finds a process that left its group';

for (const [what, left, expected, skip] of [
  ['holds its output open', 'sleep 600 & echo $! > $PID_FILE', '"ok"', false],
  ['began its own session', 'setsid sleep 600 > /dev/null 2>&1 & echo $! > $PID_FILE', '"ok"', onLinux],
  [
    'leaves sessions behind in which programs load programs',
    `for n in 1 2 3 4 5 6 7 8; do setsid env sh -c 'exec setsid env sleep 600' > /dev/null 2>&1 & done; echo $! > $PID_FILE`,
    '"ok"',
    onLinux,
  ],
  [
    'became a daemon',
    `setsid sh -c 'echo $$ > $PID_FILE; exec sleep 600' > /dev/null 2>&1 &\nuntil [ -s $PID_FILE ]; do sleep 0.01; done`,
    '"ok"',
    onLinux,
  ],
  ['never stops writing', 'yes & echo $! > $PID_FILE', 'CAPABILITY_OUTPUT_TOO_LARGE', false],
] as const) {
  test(`the processes of a program that ${what} do not outlive its call`, { skip }, async (t) => {
    const { run, pid } = await capability(t, `${left}\necho '"ok"'\n`);
    const answer = await run({ input, signal: new AbortController().signal }).then(
      (output) => output.toString().trim(),
      ({ code }) => code,
    );
    assert.equal(answer, expected);
    await gone(await pid());
  });
}

test('a program that ignores SIGTERM is killed, together with its processes', async (t) => {
  const { run, pid } = await capability(
    t,
    `trap '' TERM\n(trap '' TERM; while :; do sleep 1; done) & echo $! > $PID_FILE\nwait\n`,
  );
  const stop = new AbortController();
  const answer = run({ input, signal: stop.signal });
  const started = await pid();
  stop.abort();
  await assert.rejects(answer, { message: 'it ended with SIGKILL' });
  await gone(started);
});

test('a program that changed its user and cannot be signalled does not crash the agent', async (t) => {
  const { folder, run, pid } = await capability(
    t,
    'echo $$ > $PID_FILE\nwhile [ ! -e $PID_FILE.go ]; do sleep 0.02; done\necho 1\n',
  );
  const refusal = Object.assign(new Error('kill EPERM'), { code: 'EPERM' });
  const kill = t.mock.method(process, 'kill', () => {
    throw refusal;
  });
  const stop = new AbortController();
  const answer = run({ input, signal: stop.signal });
  await pid();
  stop.abort();
  assert.equal(kill.mock.callCount(), 1);
  kill.mock.restore();
  await writeFile(join(folder, 'PID.go'), '');
  assert.equal((await answer).toString(), '1\n');
});

test('a program ends with the process that runs it, however that process ends', {
  skip: onLinux,
}, async (t) => {
  const { folder, pid } = await capability(
    t,
    "trap '' TERM\nsetsid sh -c 'echo $$ > $PID_FILE; while :; do sleep 1; done'\n",
  );
  const program = `
    const { folderCapabilities } = await import(${JSON.stringify(import.meta.resolve('./folder.ts'))});
    const it = (await folderCapabilities(process.argv[1], process.env)).get('it');
    process.once('SIGTERM', () => process.exit(1));
    // The written process id shows that the process is ready for the signal.
    void it({ input: Buffer.from('null'), signal: new AbortController().signal });
  `;
  const env = { ...process.env, PID_FILE: join(folder, 'PID') };
  const child = spawn(process.execPath, ['--input-type=module', '-e', program, folder], { env });
  t.after(() => child.kill('SIGKILL'));
  const started = await pid();
  const exited = once(child, 'exit');
  child.kill('SIGTERM');
  assert.deepEqual(await exited, [1, null]);
  await gone(started);
});

test('a program that others can change is refused, even if they could not when the agent started', async (t) => {
  const { folder, run } = await capability(t, 'echo 1\n');
  const path = join(folder, 'it');
  const call = { input, signal: new AbortController().signal };
  for (const [opened, mode] of [
    [path, 0o722],
    [folder, 0o777],
  ] as const) {
    const { mode: before } = await stat(opened);
    await chmod(opened, mode);
    const refused = { code: 'STORE_PERMISSIONS', message: new RegExp(`chmod go-w ${opened}$`) };
    await assert.rejects(folderCapabilities(folder, {}), refused);
    await assert.rejects(run(call), refused);
    await chmod(opened, before);
  }
  if (process.geteuid?.() === 0) {
    await chown(path, 65534, 65534);
    const refused = { code: 'STORE_PERMISSIONS', message: /belongs to user 65534/ };
    await assert.rejects(folderCapabilities(folder, {}), refused);
    await assert.rejects(run(call), refused);
    await chown(path, 0, 0);
  }
  assert.equal((await run(call)).toString(), '1\n');
  await assert.rejects(folderCapabilities(join(folder, 'none'), {}), { code: 'NOTHING_FOUND' });
});

test('each skipped file is named with the reason', async () => {
  const folder = temporaryFolder();
  await writeFile(join(folder, 'good'), '#!/bin/sh\n', { mode: 0o700 });
  await writeFile(join(folder, 'plain'), '#!/bin/sh\n', { mode: 0o600 });
  await writeFile(join(folder, 'Big.sh'), '#!/bin/sh\n', { mode: 0o700 });
  await mkdir(join(folder, 'sub'), { mode: 0o700 });
  const skipped: string[][] = [];
  const found = await folderCapabilities(folder, {}, (file, why) => skipped.push([file, why]));
  assert.deepEqual([...found.keys()], ['good']);
  assert.deepEqual(skipped, [
    ['Big.sh', 'its name is not a valid capability name'],
    ['plain', 'it is not executable'],
    ['sub', 'it is not a file'],
  ]);
});
