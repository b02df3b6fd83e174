// `node:http` without its WebSocket, which nobody here uses. A plain import reads every export, and that one loads the
// client of `fetch`: 65 ms of processor time and 16 MiB in each process.

import http from 'node:http';
import type { Plugin } from 'rolldown';

const left: readonly string[] = ['WebSocket', 'CloseEvent', 'MessageEvent'];
const id = '\0light-http';

/** For rolldown. */
export const lightHttp: Plugin = {
  name: 'light-http',
  resolveId: { filter: { id: /^(node:)?http$/ }, handler: () => id },
  load: (loaded) =>
    loaded !== id
      ? undefined
      : `
      const http = process.getBuiltinModule('node:http');
      export default http;
      export const { ${Object.keys(http).filter((name) => !left.includes(name))} } = http;`,
};
