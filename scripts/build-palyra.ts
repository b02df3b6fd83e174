// The command `palyra` as few files of JavaScript instead of nine hundred modules: it starts in half the time.

import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'rolldown';

const repository = join(import.meta.dirname, '..');
const cli = join(repository, 'packages/cli');

/**
 * @param folder gets `bin`, `dist` and a package.json. What is native, and the console's pages, are looked for in
 *   node_modules above it.
 * @returns the path of `bin/palyra.js` there.
 */
export async function buildPalyra(folder: string): Promise<string> {
  rmSync(join(folder, 'dist'), { recursive: true, force: true });
  await build({
    cwd: repository,
    input: {
      main: join(cli, 'src/main.ts'),
      // A process of its own, which is started by its path.
      'token-process': join(repository, 'packages/signer-pkcs11/src/token-process.ts'),
    },
    platform: 'node',
    external: ['@currentspace/http3', 'pkcs11js', '@palyra/console'],
    logLevel: 'warn',
    output: {
      dir: join(folder, 'dist'),
      entryFileNames: '[name].js',
      chunkFileNames: '[name].js',
    },
  });
  cpSync(join(cli, 'package.json'), join(folder, 'package.json'));
  mkdirSync(join(folder, 'bin'), { recursive: true });
  cpSync(join(cli, 'bin/palyra'), join(folder, 'bin/palyra'));
  const program = join(folder, 'bin/palyra.js');
  const text = readFileSync(join(cli, 'bin/palyra.js'), 'utf8');
  writeFileSync(program, text.replace("'../src/main.ts'", "'../dist/main.js'"));
  return program;
}
