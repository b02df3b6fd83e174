// Completion in real shells: the result of a Tab, with a real daemon.

import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import { type TestContext, test } from 'node:test';
import { promisify } from 'node:util';
import { scripts } from '../../packages/cli/src/completion/scripts.ts';
import { palyraProgram } from '../testing/palyra-process.ts';
import { TestDaemon } from '../testing/running-daemon.ts';
import { makeDevice, pair, request } from '../testing/sample-device.ts';
import { temporaryFolder } from '../testing/temporary-folder.ts';
import { Terminal } from '../testing/terminal.ts';

const run = promisify(execFile);
const lacks = (shell: string) =>
  spawnSync(shell, ['--version']).status !== 0 &&
  `NOT TESTED: there is no ${shell} here. Install Debian's ${shell}.`;

interface Desk {
  readonly daemon: TestDaemon;
  readonly folder: string;
  readonly env: NodeJS.ProcessEnv;
  readonly device: string;
  readonly request: string;
}

/** A folder with `palyra` in its own `bin`, and a daemon with a device and a request. */
async function setUp(t: TestContext, shell: 'bash' | 'zsh' | 'fish'): Promise<Desk> {
  const daemon = await TestDaemon.start(t);
  const folder = temporaryFolder();
  await mkdir(join(folder, 'bin'));
  await mkdir(join(folder, 'quite special'));
  await writeFile(join(folder, 'quiet.age'), '');
  const palyra = join(folder, 'bin', 'palyra');
  await writeFile(palyra, `#!/bin/sh\nexec '${process.execPath}' '${palyraProgram}' "$@"\n`);
  await chmod(palyra, 0o755);
  const env = {
    PATH: `${join(folder, 'bin')}:${process.env.PATH}`,
    HOME: folder,
    PALYRA_HOME: daemon.home,
    // Dozens of short runs, which would mostly compile.
    NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE ?? join(folder, 'compiled'),
  };
  const { stdout } = await run('palyra', ['completion', shell], { env });
  await writeFile(join(folder, `completion.${shell}`), stdout);
  const device = await makeDevice({ name: '$(id) * kitchen' });
  await pair(daemon, device);
  const pending = await request(daemon, await makeDevice({ name: 'hallway' }));
  return {
    daemon,
    folder,
    env,
    device: device.identity.id.slice(-8),
    request: pending.requestId.slice(-8),
  };
}

/** Simulates readline: the first Tab inserts the common beginning, and the second Tab lists the candidates. */
const completionTypes = { insert: 9, list: 63, insertAndList: 33 };

const inBash = (desk: Desk, ...words: readonly string[]) => offered(desk, 'insert', words);

/** The candidates of bash for the words, from the completion function as readline calls it. */
async function offered(
  { folder, env }: Pick<Desk, 'folder' | 'env'>,
  type: keyof typeof completionTypes,
  words: readonly string[],
): Promise<string[]> {
  const script = `
source ./completion.bash
COMP_WORDS=(palyra "$@"); COMP_CWORD=$#; COMP_TYPE=${completionTypes[type]}
# The function that bash itself has for this command.
f=$(complete -p palyra); f=\${f#*-F }; "\${f%% *}" palyra
for each in "\${COMPREPLY[@]}"; do printf '%s\\n' "$each"; done`;
  const { stdout, stderr } = await run('bash', ['--norc', '-c', script, 'bash', ...words], {
    cwd: folder,
    env,
  });
  assert.equal(stderr, '');
  return stdout.split('\n').filter(Boolean);
}

test('bash completes commands, options, files and ids', { skip: lacks('bash') }, async (t) => {
  const desk = await setUp(t, 'bash');
  assert.deepEqual(await inBash(desk, 'dev'), ['devices']);
  assert.deepEqual(
    (await inBash(desk, 'pair')).map((each) => each.split(' ')[0]),
    ['pair', 'pairing'],
  );
  assert.deepEqual(await inBash(desk, 'pairing', 'approve', '--repl'), ['--replace-key']);
  assert.deepEqual(await inBash(desk, 'pair', '--kind', '=', 'n'), ['node']);
  assert.deepEqual(await inBash(desk, 'backup', 'qui'), ['quiet.age', 'quite special'].sort());
  assert.deepEqual(await inBash(desk, '--home', 'qui'), ['quite special']);
  assert.deepEqual(await inBash(desk, 'devices', 'show', ''), [desk.device]);
  assert.deepEqual(await inBash(desk, 'pairing', 'approve', ''), [desk.request]);
  for (const each of await inBash(desk, 'why', '')) assert.match(each, /^[0-9A-Z]{8}$/);
  const both = await offered(desk, 'list', ['why', '']);
  assert.ok(
    both.some((each) => each.startsWith(`${desk.device}   # $(id) * kitchen, `)),
    both.join('\n'),
  );
  assert.ok(
    both.some((each) => each.startsWith(`${desk.request}   # hallway, `)),
    both.join('\n'),
  );
});

test('bash inserts only ids, whatever a daemon answers', {
  skip: lacks('bash'),
}, async () => {
  const folder = temporaryFolder();
  await mkdir(join(folder, 'bin'));
  const palyra = join(folder, 'bin', 'palyra');
  // As if two devices had the same id. The common beginning would then continue into their names.
  await writeFile(
    palyra,
    "#!/bin/sh\nprintf 'words\\n7K3QX9AB\\t$(id), active\\n7K3QX9AB\\t$(id), revoked\\n'\n",
  );
  await chmod(palyra, 0o755);
  await writeFile(join(folder, 'completion.bash'), scripts.bash);
  const desk = { folder, env: { PATH: `${join(folder, 'bin')}:${process.env.PATH}`, HOME: folder } };
  for (const type of ['insert', 'insertAndList'] as const)
    assert.deepEqual(await offered(desk, type, ['why', '']), ['7K3QX9AB', '7K3QX9AB']);
});

test('a Tab without a daemon is silent', { skip: lacks('bash') }, async (t) => {
  const desk = await setUp(t, 'bash');
  await desk.daemon.stop();
  assert.deepEqual(await inBash(desk, 'devices', 'show', ''), []);
  assert.deepEqual(await inBash(desk, '--home', '~/nowhere', 'devices', 'show', ''), []);
});

test('fish completes commands, options, files and ids, with descriptions', {
  skip: lacks('fish'),
}, async (t) => {
  const desk = await setUp(t, 'fish');
  const inFish = async (line: string) => {
    const script = `source ./completion.fish; complete -C ${JSON.stringify(line)}`;
    const { stdout } = await run('fish', ['--no-config', '-c', script], { cwd: desk.folder, env: desk.env });
    return stdout.split('\n').filter(Boolean);
  };
  assert.match((await inFish('palyra dev')).join('\n'), /^devices\tPaired devices/);
  assert.deepEqual(
    (await inFish('palyra pair')).map((each) => each.split('\t')[0]),
    ['pair', 'pairing'],
  );
  assert.match((await inFish('palyra pairing approve --repl')).join('\n'), /^--replace-key\taccept another/);
  assert.deepEqual(await inFish('palyra pair --kind=n'), ['--kind=node']);
  assert.deepEqual(await inFish('palyra backup quie'), ['quiet.age']);
  assert.match((await inFish('palyra devices show ')).join('\n'), new RegExp(`^${desk.device}\t.*kitchen, `));
  assert.match(
    (await inFish('palyra pairing approve ')).join('\n'),
    new RegExp(`^${desk.request}\thallway, `),
  );
});

test('zsh completes the typed word at a Tab on a terminal', { skip: lacks('zsh') }, async (t) => {
  const desk = await setUp(t, 'zsh');
  await writeFile(
    join(desk.folder, '.zshrc'),
    `PS1='ready> '; unsetopt beep; export PATH='${desk.env.PATH}' PALYRA_HOME='${desk.daemon.home}'
autoload -U compinit; compinit -D
source $HOME/completion.zsh
`,
  );
  const terminal = Terminal.run(t, `env HOME=${desk.folder} ZDOTDIR=${desk.folder} sh -c 'cd; exec zsh -i'`);
  await terminal.shows(/ready> /);
  // Ctrl-U empties the line for the next one.
  terminal.type('palyra dev\t');
  await terminal.shows(/palyra devices /);
  terminal.type('\u0015palyra pairing approve --repl\t');
  await terminal.shows(/--replace-key/);
  terminal.type('\u0015palyra pair --kind bro\t');
  await terminal.shows(/--kind browser/);
  terminal.type('\u0015palyra backup quie\t');
  await terminal.shows(/backup quiet\.age/);
  terminal.type('\u0015palyra devices show \t');
  await terminal.shows(new RegExp(`devices show ${desk.device}`));
  terminal.type('\u0015palyra why \t');
  await terminal.shows(new RegExp(`${desk.request} +-- hallway, `));
  terminal.type('\u0015exit\r');
  assert.equal(await terminal.ended, 0);
});
