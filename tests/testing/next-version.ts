// The version after this one: the same sources with a higher version number, and a migration that adds something to every table.

import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Plugin } from 'rolldown';
import { buildPalyra } from '../../scripts/build-palyra.ts';
import { cacheFolder } from '../../scripts/cache-folder.ts';
import { temporaryFolder } from './temporary-folder.ts';

export const nextVersion = '999.0.0';
export const nextMigration = '9000-adds-to-all';

const packages = join(import.meta.dirname, '../../packages');

/** @returns the program. */
export function buildNextVersion(): Promise<string> {
  const migrations = join(packages, 'registry-sql/src/postgres/prepare.ts');
  const tables = JSON.stringify(join(import.meta.dirname, 'next-tables.ts'));
  // node_modules must be above it.
  mkdirSync(cacheFolder, { recursive: true });
  return buildPalyra(temporaryFolder(cacheFolder), [
    changed(join(packages, 'daemon/package.json'), /"version": "[^"]+"/, `"version": "${nextVersion}"`),
    changed(
      migrations,
      /^export const migrations = \{/m,
      `import { addToAll } from ${tables};\nexport const migrations = { '${nextMigration}': addToAll,`,
    ),
  ]);
}

function changed(file: string, old: RegExp, text: string): Plugin {
  return {
    name: 'next-version',
    transform: (code, id) => {
      if (id !== file) return undefined;
      assert.match(code, old);
      return code.replace(old, text);
    },
  };
}
