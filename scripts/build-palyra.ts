// Bundles the command `palyra` into a few JavaScript files instead of nine hundred modules, which halves its start
// time.

import { cpSync, existsSync, globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'rolldown';
import { lightHeaders, nodeAtFirstUse } from './light-node.ts';

const repository = join(import.meta.dirname, '..');
const cli = join(repository, 'packages/cli');

/** Packages that the built command loads from node_modules: native libraries, and the console's pages. */
export const outsideTheBuild = {
  required: ['@currentspace/http3'],
  optional: ['pkcs11js', '@napi-rs/keyring'],
  bundled: ['@palyra/console'],
} as const;

/**
 * @param folder gets `bin`, `dist` and a package.json. Packages outside the build are loaded from node_modules in it or
 *   above it.
 * @returns the path of `bin/palyra.js` there.
 */
export async function buildPalyra(folder: string): Promise<string> {
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
    external: Object.values(outsideTheBuild).flat(),
    plugins: [nodeAtFirstUse],
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
