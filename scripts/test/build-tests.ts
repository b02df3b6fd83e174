// The test files as a few chunks of JavaScript that they share. Loading the sources, module by module, costs a file up to
// half a second of processor time; there are hundreds of files.

import { readFileSync, rmSync } from 'node:fs';
import { SourceMap } from 'node:module';
import { dirname, join, relative, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { build, type Plugin } from 'rolldown';
import type { ESTree } from 'rolldown/utils';
import { outsideTheBuild } from '../build-palyra.ts';

const repository = join(import.meta.dirname, '../..');
/** Packages that look for files of their own, or that few tests need. */
const external = [...Object.values(outsideTheBuild).flat(), 'playwright-core', 'rolldown', 'esbuild'];

export interface BuiltTests {
  /** For the environment of the tests. */
  readonly env: Readonly<Record<string, string>>;
  /** @returns the program to run for a test file: the file itself if it is not built. */
  readonly programOf: (file: string) => string;
  /** @returns a text, such as a stack trace, with places in the sources instead of places in the build. */
  readonly inSources: (text: string) => string;
}

/** For files that are run as they are. */
export const notBuilt: BuiltTests = { env: {}, programOf: (file) => file, inSources: (text) => text };

/**
 * Throws when a file does not compile or imports what does not exist.
 * @param folder is emptied first. It is below the repository's node_modules: packages outside of the build are found.
 */
export async function buildTests(files: readonly string[], folder: string): Promise<BuiltTests> {
  rmSync(folder, { recursive: true, force: true });
  const nameOf = (file: string) => relative(repository, resolve(file)).replace(/\.ts$/, '');
  await build({
    cwd: repository,
    input: Object.fromEntries(
      [...files, ...files.flatMap(programsOf)].map((file) => [nameOf(file), resolve(file)]),
    ),
    platform: 'node',
    external: external.map((name) => new RegExp(`^${name}(/|$)`)),
    plugins: [keepPlaces],
    logLevel: 'warn',
    output: {
      dir: folder,
      entryFileNames: '[name].js',
      chunkFileNames: 'chunks/[name].js',
      keepNames: true,
      sourcemap: true,
    },
  });
  const built = new Set(files.map(nameOf));
  return {
    env: { PALYRA_TEST_BUILT: folder },
    programOf: (file) => (built.has(nameOf(file)) ? join(folder, `${nameOf(file)}.js`) : file),
    inSources: (text) => inSources(text, folder),
  };
}

/** What a test file starts with `builtProgram` (tests/testing/built-program.ts). */
function programsOf(file: string): string[] {
  const uses = /\bbuiltProgram\(\s*(?:join\(import\.meta\.dirname, |fileURLToPath\(new URL\()'([^']+\.ts)'/g;
  return [...readFileSync(file, 'utf8').matchAll(uses)].map(([, path]) => resolve(dirname(file), path!));
}

/** A module that asks where it is, for files beside it or to start them, is told where its source is. */
const keepPlaces: Plugin = {
  name: 'keep-places',
  transform: {
    filter: { code: /import\.meta\./ },
    handler(code, id) {
      const [path = id] = id.split('?');
      const url = JSON.stringify(pathToFileURL(path).href);
      const known: Readonly<Record<string, string>> = {
        dirname: JSON.stringify(dirname(path)),
        filename: JSON.stringify(path),
        url,
        resolve: `(name => new URL(name, ${url}).href)`,
      };
      let kept = '';
      let end = 0;
      for (const { name, from, to } of askedPlaces(this.parse(code, { lang: 'ts' }))) {
        if (!(name in known)) continue;
        kept += code.slice(end, from) + known[name];
        end = to;
      }
      return {
        code: kept + code.slice(end),
        map: { version: 3, sources: [path], names: [], mappings: sameLines(code) },
      };
    },
  },
};

/** Of a source map: each line comes from the line of the same number. */
function sameLines(code: string): string {
  return code
    .split('\n')
    .map((_, index) => (index === 0 ? 'AAAA' : 'AACA'))
    .join(';');
}

/** Each `import.meta.NAME` in the order of the text, but for texts that only speak of it. */
function askedPlaces(node: unknown): { readonly name: string; readonly from: number; readonly to: number }[] {
  if (typeof node !== 'object' || node === null) return [];
  const { type, object, property, start, end } = node as Partial<ESTree.MemberExpression>;
  if (type === 'MemberExpression' && object?.type === 'MetaProperty' && property?.type === 'Identifier')
    return [{ name: property.name, from: start!, to: end! }];
  return Object.values(node).flatMap(askedPlaces);
}

function inSources(text: string, folder: string): string {
  const place = /(?:file:\/\/)?(\/[^\s:()'"]+\.js):(\d+):(\d+)/g;
  return text.replaceAll(place, (whole, path: string, line: string, column: string) => {
    if (!path.startsWith(folder)) return whole;
    const found = mapOf(path)?.findOrigin(Number(line), Number(column));
    if (!found || !('fileName' in found)) return whole;
    const source = resolve(dirname(path), found.fileName.replace(/^file:\/\//, ''));
    return `${source}:${found.lineNumber}:${found.columnNumber}`;
  });
}

/** Undefined for a file that has none. */
function mapOf(path: string): SourceMap | undefined {
  try {
    return new SourceMap(JSON.parse(readFileSync(`${path}.map`, 'utf8')));
  } catch {
    return undefined;
  }
}
