// The packages as npm takes them, in a project of somebody else's: plain JavaScript, with declarations that hold.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdir, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { stripTypeScriptTypes } from 'node:module';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { temporaryFolder } from './testing/temporary-folder.ts';

const repository = join(import.meta.dirname, '..');

let folder: string;
const stale = join(repository, 'packages/console/dist/left-from-before.txt');
before(async () => {
  folder = temporaryFolder();
  await mkdir(dirname(stale), { recursive: true });
  await writeFile(stale, '');
  run(process.execPath, [join(repository, 'scripts/pack.ts'), join(folder, 'packed')], repository);
  await installAt(folder);
});
after(async () => {
  await rm(stale, { force: true });
});

test('the console is packed as it is built now, not as the checkout happens to have it', async () => {
  const pages = await readdir(join(folder, 'node_modules/@palyra/console/dist'));
  assert.deepEqual(pages.sort(), ['assets', 'index.html']);
});

test('what is packed imports only what it brings, and exports only what is there', async () => {
  const packed = join(folder, 'node_modules/@palyra');
  for (const name of await readdir(packed)) {
    const { dependencies, optionalDependencies, exports } = JSON.parse(
      await readFile(join(packed, name, 'package.json'), 'utf8'),
    );
    const brought = new Set([
      `@palyra/${name}`,
      ...Object.keys({ ...dependencies, ...optionalDependencies }),
    ]);
    const files = (await readdir(join(packed, name), { recursive: true })).filter(
      (file) => /\.js$/.test(file) && !file.startsWith('dist/'),
    );
    for (const file of files) {
      const text = await readFile(join(packed, name, file), 'utf8');
      for (const [, from] of text.matchAll(
        /^(?:import|export|\} from) ?(?:[^'\n]* from )?'([^'.][^']*)'/gm,
      )) {
        const isOfNode = from!.startsWith('node:') && from !== 'node:test';
        const [, owner] = /^((?:@[^/]+\/)?[^/]+)/.exec(from!)!;
        assert.ok(isOfNode || brought.has(owner!), `${name}/${file} imports ${from}`);
      }
    }
    for (const file of typeof exports === 'object' ? Object.values<string>(exports) : [])
      await readFile(join(packed, name, file));
  }
});

test('a project outside the repository uses the packed packages, and the command runs', async () => {
  await writeFile(join(folder, 'package.json'), '{"type":"module"}');

  const example = await readFile(join(repository, 'examples/one-process.ts'), 'utf8');
  await writeFile(join(folder, 'app.ts'), example);
  const tsc = join(repository, 'node_modules/typescript/bin/tsc');
  const options = ['--noEmit', '--strict', '--module', 'nodenext', '--target', 'es2025', '--types', 'node'];
  run(process.execPath, [tsc, ...options, '--lib', 'es2025,esnext.disposable', 'app.ts'], folder);
  await writeFile(join(folder, 'app.js'), stripTypeScriptTypes(example));
  assert.match(run(process.execPath, ['--disable-warning=ExperimentalWarning', 'app.js'], folder), /./);

  const palyra = join(folder, 'node_modules/@palyra/cli/bin/palyra.js');
  assert.match(run(process.execPath, [palyra, '--version'], folder), /^\d+\.\d+\.\d+\n$/);
  const status = run(
    process.execPath,
    [palyra, 'doctor', '--home', join(folder, 'home'), '--json'],
    folder,
    0,
    1,
    6,
  );
  assert.match(status, /^\{/, 'the daemon package loads, too');
});

test('an installed package that lacks a native library says how to install it there, not in a checkout', async () => {
  await writeFile(
    join(folder, 'native.js'),
    `import { createQuic } from '@palyra/transport-quic';
    await createQuic().dial({ host: '127.0.0.1', port: 9, tls: {} }).catch(({ code, message }) => console.log(code, message));`,
  );
  process.env.NAPI_RS_NATIVE_LIBRARY_PATH = '/nowhere/http3.node';
  const said = run(process.execPath, ['--disable-warning=ExperimentalWarning', 'native.js'], folder);
  delete process.env.NAPI_RS_NATIVE_LIBRARY_PATH;
  assert.match(said, /^QUIC_UNAVAILABLE .*npm install FOLDER\/palyra-\*\.tgz\n$/);
  assert.doesNotMatch(said, /npm ci|checkout/);
});

/** Ours from the tarballs, everybody else's as they are here. */
async function installAt(folder: string): Promise<void> {
  const modules = join(folder, 'node_modules');
  await mkdir(join(modules, '@palyra'), { recursive: true });
  const there = join(repository, 'node_modules');
  for (const name of await readdir(there)) {
    if (name !== '@palyra' && !name.startsWith('.')) await symlink(join(there, name), join(modules, name));
  }
  for (const file of await readdir(join(folder, 'packed'))) {
    const [, name] = /^palyra-(.+)-\d+\.\d+\.\d+\.tgz$/.exec(file) ?? assert.fail(file);
    const to = join(modules, '@palyra', name!);
    await mkdir(to);
    run('tar', ['xzf', join(folder, 'packed', file), '-C', to, '--strip-components=1'], folder);
  }
}

function run(program: string, args: readonly string[], cwd: string, ...expected: number[]): string {
  const { status, stdout, stderr } = spawnSync(program, args, { cwd, encoding: 'utf8' });
  assert.ok((expected.length > 0 ? expected : [0]).includes(status ?? -1), `${status}: ${stdout}${stderr}`);
  return stdout;
}
