// `npm run pack -- FOLDER`: makes the npm packages. Node does not strip types below node_modules, so an installed
// package must have JavaScript, with its declarations beside it.

import { spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import process from 'node:process';
import { stagePalyra } from './pack-palyra.ts';

const repository = join(import.meta.dirname, '..');
const target = process.argv[2];
if (target === undefined || target.startsWith('-')) {
  console.error('Name the folder for the packages: npm run pack -- FOLDER');
  process.exit(2);
}
const staged = mkdtempSync(join(tmpdir(), 'palyra-pack-'));
try {
  // Several threads check the same declarations several times.
  run('npx', ['tsc', '-p', 'tsconfig.pack.json', '--outDir', staged, '--singleThreaded']);
  // The extension is private: a browser loads it, and npm does not install it.
  const folders = globSync('packages/*', { cwd: repository })
    .filter((folder) => !isPrivate(folder))
    .sort();
  for (const folder of folders) stage(folder);
  // Always built, because the checkout's dist may be missing or out of date.
  const pages = join(staged, 'packages/console/dist');
  run('npm', ['run', 'build', '--silent', '-w', '@palyra/console', '--', '--outDir', pages]);
  if (!existsSync(join(pages, 'index.html'))) throw new Error(`The console was not built into ${pages}.`);
  await stagePalyra(join(staged, 'packages/cli'), join(staged, 'packages/console'));
  mkdirSync(target, { recursive: true });
  run('npm', [
    'pack',
    '--silent',
    '--ignore-scripts',
    '--pack-destination',
    resolve(target),
    ...folders.map((folder) => join(staged, folder)),
  ]);
} finally {
  rmSync(staged, { recursive: true, force: true });
}

function isPrivate(folder: string): boolean {
  return JSON.parse(readFileSync(join(repository, folder, 'package.json'), 'utf8')).private === true;
}

/** Adds the files that the compiler does not write. */
function stage(folder: string): void {
  const [from, to] = [join(repository, folder), join(staged, folder)];
  for (const generated of globSync('src/gen/**/*.{js,d.ts}', { cwd: from })) {
    cpSync(join(from, generated), join(to, generated));
  }
  for (const extra of globSync(['bin', 'proto'], { cwd: from })) {
    cpSync(join(from, extra), join(to, extra), { recursive: true });
  }
  cpSync(join(repository, 'LICENSE'), join(to, 'LICENSE'));
  cpSync(join(from, 'README.md'), join(to, 'README.md'));
  // The compiler leaves source names in declarations, and ignores the program in bin.
  for (const file of globSync(['src/**/*.d.ts', 'bin/*.js'], { cwd: to })) {
    const text = readFileSync(join(to, file), 'utf8');
    writeFileSync(join(to, file), text.replaceAll(/(['"]\.{1,2}\/[^'"]*)\.ts(['"])/g, '$1.js$2'));
  }
  const {
    devDependencies: _,
    scripts: __,
    ...description
  } = JSON.parse(readFileSync(join(from, 'package.json'), 'utf8'));
  // Suites are for tests in the checkout, and import files that exist only there.
  const { exports } = description;
  for (const [name, file] of typeof exports === 'object' ? Object.entries<string>(exports) : [])
    if (!existsSync(join(to, file.replace(/\.ts$/, '.js')))) delete exports[name];
  const text = JSON.stringify(description, null, 2).replaceAll(/(\.\/src\/[\w/-]+)\.ts"/g, '$1.js"');
  writeFileSync(join(to, 'package.json'), `${text}\n`);
}

function run(command: string, args: readonly string[]): void {
  const { status } = spawnSync(command, args, { cwd: repository, stdio: ['ignore', 'inherit', 'inherit'] });
  if (status !== 0) throw new Error(`${command} ${args[0]} failed`);
}
