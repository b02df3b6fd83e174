// What the built command loads, which takes most of the time of a short command.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { buildPalyra } from '../../scripts/build-palyra.ts';
import { cacheFolder } from '../../scripts/cache-folder.ts';
import { TestDaemon } from '../testing/running-daemon.ts';
import { makeDevice, pair } from '../testing/sample-device.ts';
import { temporaryFolder } from '../testing/temporary-folder.ts';

const run = promisify(execFile);
const program = process.env.PALYRA_TEST_PROGRAM ?? (await buildPalyra(join(cacheFolder, 'palyra')));

interface Loaded {
  /** Of Node: `net`, `internal/deps/undici/undici`. */
  readonly nodes: readonly string[];
  /** Of the build: all their text. */
  readonly text: string;
}

async function loadedBy(...args: readonly string[]): Promise<Loaded & { readonly stdout: string }> {
  const folder = temporaryFolder();
  const report = join(folder, 'report.json');
  const reporter = join(folder, 'reporter.cjs');
  await writeFile(
    reporter,
    `const before = new Set(process.moduleLoadList);
    process.on('exit', () => {
      const nodes = process.moduleLoadList.filter((each) => !before.has(each)).map((each) => each.replace(/^NativeModule /, ''));
      require('node:fs').writeFileSync(${JSON.stringify(report)}, JSON.stringify({ nodes, files: Object.keys(require.cache) }));
    });`,
  );
  const { stdout } = await run(process.execPath, ['--require', reporter, program, ...args]);
  const { nodes, files } = JSON.parse(await readFile(report, 'utf8'));
  const built = files.filter((file: string) => file !== reporter);
  return {
    nodes,
    stdout,
    text: (await Promise.all(built.map((file: string) => readFile(file, 'utf8')))).join('\n'),
  };
}

test('`palyra --version` loads no HTTP, no cryptography and none of the commands', async () => {
  const { nodes, text, stdout } = await loadedBy('--version');
  assert.match(stdout, /^\d+\.\d+\.\d+\n$/);
  assert.deepEqual(
    nodes.filter((name) => /^(?:tls|crypto|http2?|child_process|sqlite|worker_threads)$/.test(name)),
    [],
  );
  assert.ok(text.length < 250_000, `${text.length} bytes`);
  assert.match(text, /^\/\/ packages\/cli\/src\/program\.ts$/m);
  assert.doesNotMatch(text, /^\/\/ node_modules\/@(?:bufbuild|connectrpc)\//m);
});

test('a command on the admin socket loads only what the socket needs', async (t) => {
  const daemon = await TestDaemon.start(t);
  const device = await makeDevice({ name: 'kitchen' });
  await pair(daemon, device);
  for (const [args, says] of [
    [['status'], /devices +1,/],
    [['devices', 'list'], /kitchen/],
    [['complete', '--', 'devices', 'show', ''], /kitchen/],
  ] as const) {
    const { nodes, text, stdout } = await loadedBy('--home', daemon.home, ...args);
    assert.match(stdout, says);
    const unneeded = /undici|amaro|webstreams|^(?:child_process|sqlite|worker_threads|readline|https|dgram)$/;
    assert.deepEqual(
      nodes.filter((name) => unneeded.test(name)),
      [],
      args.join(' '),
    );
    assert.ok(text.length < 800_000, `${args.join(' ')}: ${text.length} bytes`);
    assert.match(text, /^\/\/ packages\/cli\/src\/admin\.ts$/m);
    assert.doesNotMatch(
      text,
      /^\/\/ (?:node_modules\/(?:ws|@noble|@clack|zod|kysely)|packages\/(?:agent|channel|daemon))\//m,
    );
  }
});

test('the text of the build is ASCII, so that V8 keeps one byte of each character', async () => {
  const main = join(program, '../../dist/main.cjs');
  assert.ok((await stat(main)).size > 0);
  assert.doesNotMatch(await readFile(main, 'utf8'), /[^\0-\x7f]/);
});
