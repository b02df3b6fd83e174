// Builds the test files into a few shared chunks of JavaScript. Loading the sources module by module takes up to half a
// second of processor time for each of hundreds of files.

import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { SourceMap } from 'node:module';
import { dirname, join, relative, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { build, type CodeSplittingGroup, type Plugin } from 'rolldown';
import type { ESTree } from 'rolldown/utils';
import { outsideTheBuild } from '../build-palyra.ts';
import { lightHeaders, nodeAtFirstUse } from '../light-node.ts';

const repository = join(import.meta.dirname, '../..');
/** Packages that load their own files, or that few tests need. */
const external = [...Object.values(outsideTheBuild).flat(), 'playwright-core', 'rolldown', 'esbuild'];

export interface BuiltTests {
  /** Variables for the environment of the tests. */
  readonly env: Readonly<Record<string, string>>;
  /** @returns the program for a test file: the file itself if it was not built. */
  readonly programOf: (file: string) => string;
  /** @returns the part of the build that the file loads. A process with two parts would have two copies of our modules. */
  readonly partOf: (file: string) => string;
  /** @returns the text, such as a stack trace, with source positions instead of positions in the build. */
  readonly inSources: (text: string) => string;
}

/** For files that run without a build. */
export const notBuilt: BuiltTests = {
  env: {},
  programOf: (file) => file,
  partOf: () => '',
  inSources: (text) => text,
};

/**
 * Throws if a file does not compile or imports a missing module.
 * @param folder is emptied first. It is below the repository's node_modules, so that packages outside the build
 *   resolve.
 */
export async function buildTests(files: readonly string[], folder: string): Promise<BuiltTests> {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  // Otherwise Node parses each file to find out.
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }\n');
  const isOfPackage = (file: string) => nameOf(file).startsWith('packages/');
  await buildInto(folder, 'of-packages', files.filter(isOfPackage));
  // Most of these load a whole daemon. Loading it as a hundred chunks takes a third of their start.
  const daemon = { name: 'daemon', minShareCount: 60 };
  await buildInto(
    folder,
    'of-all',
    files.filter((file) => !isOfPackage(file)),
    [daemon],
  );
  const built = new Set(files.map(nameOf));
  return {
    env: { PALYRA_TEST_BUILT: folder },
    programOf: (file) => (built.has(nameOf(file)) ? join(folder, `${nameOf(file)}.js`) : file),
    partOf: (file) => (isOfPackage(file) ? 'of-packages' : 'of-all'),
    inSources: (text) => inSources(text, folder),
  };
}

const nameOf = (file: string) => relative(repository, resolve(file)).replace(/\.ts$/, '');

/** @param part names the folder of its chunks. @param groups of modules that share a chunk. */
async function buildInto(
  folder: string,
  part: string,
  files: readonly string[],
  groups: CodeSplittingGroup[] = [],
): Promise<void> {
  if (files.length === 0) return;
  await build({
    cwd: repository,
    input: Object.fromEntries(
      [...files, ...files.flatMap(programsOf)].map((file) => [nameOf(file), resolve(file)]),
    ),
    platform: 'node',
    external: external.map((name) => new RegExp(`^${name}(/|$)`)),
    // Tests replace functions of the others. An import of `http` reads its WebSocket, which loads the client of `fetch`.
    plugins: [keepPlaces, nodeAtFirstUse(['http'])],
    transform: { inject: lightHeaders },
    logLevel: 'warn',
    output: {
      dir: folder,
      entryFileNames: '[name].js',
      chunkFileNames: `${part}/[name].js`,
      keepNames: true,
      sourcemap: true,
      codeSplitting: { groups },
    },
  });
}

/** What a test file starts with `builtProgram` (tests/testing/built-program.ts). */
function programsOf(file: string): string[] {
  const uses = /\bbuiltProgram\(\s*(?:join\(import\.meta\.dirname, |fileURLToPath\(new URL\()'([^']+\.ts)'/g;
  return [...readFileSync(file, 'utf8').matchAll(uses)].map(([, path]) => resolve(dirname(file), path!));
}

/** Gives modules the path of their source, because they may read or start files beside it. */
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

/** The mappings of a source map in which each line comes from the line with the same number. */
function sameLines(code: string): string {
  return code
    .split('\n')
    .map((_, index) => (index === 0 ? 'AAAA' : 'AACA'))
    .join(';');
}

/** Each `import.meta.NAME` in order, except in strings and comments. */
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

/** Undefined for a file without a source map. */
function mapOf(path: string): SourceMap | undefined {
  try {
    return new SourceMap(JSON.parse(readFileSync(`${path}.map`, 'utf8')));
  } catch {
    return undefined;
  }
}
