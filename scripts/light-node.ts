// What a program built by us loads of Node: its modules at their first use instead of at the start, and for `Headers` a
// class of our own. Node's own `Headers` loads the whole client of `fetch`, which nobody here uses. The two take most of the
// start of a short command, and a quarter of the memory of an idle process.

import { builtinModules } from 'node:module';
import { join } from 'node:path';
import process from 'node:process';
import type { Plugin } from 'rolldown';

const prefix = '\0node-at-first-use:';
/** Node has loaded these before any program runs, so nothing is saved. A module that is itself a function is left out, too. */
const loaded = new Set(['buffer', 'events', 'fs', 'path', 'process', 'timers', 'url', 'util']);

const namesOf = (name: string) => {
  const exported = process.getBuiltinModule(`node:${name}`);
  return typeof exported === 'object' ? Object.keys(exported) : undefined;
};

/** For rolldown. @param only these modules. Default: all. */
export const nodeAtFirstUse = (only?: readonly string[]): Plugin => ({
  name: 'node-at-first-use',
  resolveId: {
    filter: { id: /^(?:node:)?[a-z0-9_]+(?:\/[a-z]+)?$/ },
    handler(id) {
      const name = id.replace(/^node:/, '');
      const isNodes = builtinModules.includes(name) || builtinModules.includes(`node:${name}`);
      const isMeant = only ? only.includes(name) : !loaded.has(name);
      return isNodes && isMeant && namesOf(name) ? prefix + name : undefined;
    },
  },
  load(id) {
    if (!id.startsWith(prefix)) return undefined;
    const name = id.slice(prefix.length);
    // CommonJS, so that an import reads a property of it each time.
    return `
      let loaded;
      for (const name of ${JSON.stringify(namesOf(name))})
        Object.defineProperty(exports, name, {
          enumerable: true,
          get: () => (loaded ??= process.getBuiltinModule('node:${name}'))[name],
        });`;
  },
});

/** For rolldown's `transform.inject`. */
export const lightHeaders = {
  Headers: [join(import.meta.dirname, 'light-headers.ts'), 'LightHeaders'],
} satisfies Record<string, [string, string]>;
