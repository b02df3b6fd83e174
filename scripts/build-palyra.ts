// Bundles the command `palyra` into a few JavaScript files instead of nine hundred modules, which halves its start
// time.

import { cpSync, existsSync, globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { build, type Plugin } from 'rolldown';
import { lightHeaders, nodeAtFirstUse } from './light-node.ts';

const repository = join(import.meta.dirname, '..');
const cli = join(repository, 'packages/cli');

/** Packages that the built command loads from node_modules: native libraries, and the console's pages. */
export const outsideTheBuild = {
  required: ['@currentspace/http3'],
  optional: ['pkcs11js', '@napi-rs/keyring'],
  bundled: ['@palyra/console'],
} as const;

/** Only the place of the console's pages is needed. In a checkout, loading the package would load a compiler of TypeScript. */
const consoleInPlace: Plugin = {
  name: 'console-in-place',
  resolveId: { filter: { id: /^@palyra\/console$/ }, handler: () => '\0console-in-place' },
  load: (id) =>
    id !== '\0console-in-place'
      ? undefined
      : `
        import { createRequire } from 'node:module';
        import { pathToFileURL } from 'node:url';
        const place = pathToFileURL(createRequire(import.meta.url).resolve('@palyra/console'));
        export const consolePages = new URL('../dist/', place);`,
};

/**
 * @param folder gets `bin`, `dist` and a package.json. Packages outside the build are loaded from node_modules in it or
 *   above it.
 * @param changes of the sources, for a test.
 * @returns the path of `bin/palyra.js` there.
 */
export async function buildPalyra(folder: string, changes: readonly Plugin[] = []): Promise<string> {
  rmSync(join(folder, 'dist'), { recursive: true, force: true });
  const { output } = await build({
    cwd: repository,
    input: {
      main: join(cli, 'src/main.ts'),
      // These run as separate processes, which are started by their paths.
      'token-process': join(repository, 'packages/signer-pkcs11/src/token-process.ts'),
      'keychain-process': join(cli, 'src/keychain-process.ts'),
    },
    platform: 'node',
    external: [...outsideTheBuild.required, ...outsideTheBuild.optional],
    plugins: [nodeAtFirstUse(), consoleInPlace, ...changes],
    transform: { inject: lightHeaders },
    logLevel: 'warn',
    output: {
      dir: join(folder, 'dist'),
      // CommonJS starts faster: Node links every module of ESM with each name that it imports.
      format: 'cjs',
      entryFileNames: '[name].cjs',
      chunkFileNames: '[name].cjs',
    },
  });
  for (const each of output)
    if (each.type === 'chunk') writeFileSync(join(folder, 'dist', each.fileName), inAscii(each.code));
  const sources = output.flatMap((each) => (each.type === 'chunk' ? each.moduleIds : []));
  writeFileSync(join(folder, 'dist/LICENSES.txt'), licences(sources));
  cpSync(join(cli, 'package.json'), join(folder, 'package.json'));
  mkdirSync(join(folder, 'bin'), { recursive: true });
  cpSync(join(cli, 'bin/palyra'), join(folder, 'bin/palyra'));
  const program = join(folder, 'bin/palyra.js');
  const text = readFileSync(join(cli, 'bin/palyra.js'), 'utf8');
  writeFileSync(program, text.replace("import('../src/main.ts')", "require('../dist/main.cjs')"));
  writeFileSync(join(folder, 'bin/package.json'), '{ "type": "commonjs" }\n');
  return program;
}

/** V8 keeps the text of a program, and takes two bytes for each character if one of them needs two. */
function inAscii(code: string): string {
  const escaped = /.{0,20}\\[^\0-\x7f]/.exec(code);
  if (escaped) throw new Error(`The escape cannot be written in ASCII: ${escaped[0]}`);
  return code.replace(
    /[^\0-\x7f]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/** The licences of foreign packages in the build: most require their text beside every copy. */
function licences(sources: readonly string[]): string {
  const packages = new Set(
    sources.flatMap((file) => /^\0?(.*\/node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(file)?.[1] ?? []),
  );
  return [...packages]
    .sort()
    .map((folder) => {
      const file = join(folder, 'package.json');
      if (!existsSync(file)) throw new Error(`${folder} is in the build, but is not a package.`);
      const { name, version, license } = JSON.parse(readFileSync(file, 'utf8'));
      const texts = globSync('{LICENSE,LICENCE,NOTICE,license}*', { cwd: folder }).sort();
      return [
        `${name} ${version} (${license})`,
        ...texts.map((text) => readFileSync(join(folder, text), 'utf8').trim()),
      ].join('\n\n');
    })
    .join(`\n\n${'-'.repeat(80)}\n\n`);
}
