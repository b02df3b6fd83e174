// The library's messages are for programs, and name no command or option of ours. A person's next steps are in
// packages/cli/src/next-step.ts and packages/console/web/next-step.ts.

import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const repository = fileURLToPath(new URL('../..', import.meta.url));
const libraries =
  'packages/{identity,rpc,daemon,agent,registry-sql,transport-quic,signer-pkcs11}/src/**/*.ts';

/** An option of another program, which the message names. */
const foreign = /pkcs11-tool|\$\{ask\}|openssl/;

test('no message of the library names a command', () => {
  const found: string[] = [];
  let files = 0;
  for (const path of globSync(libraries, { cwd: repository })) {
    if (/\.test\.ts$|\/testing\/|\/gen\//.test(path)) continue;
    files += 1;
    for (const [at, line] of readFileSync(`${repository}/${path}`, 'utf8').split('\n').entries()) {
      const code = line.replace(/^\s*(?:\/\/|\/?\*).*|\/\*.*?\*\/|(?<=\s)\/\/ .*$/, '');
      const named =
        /\bpalyra (?:daemon|pair|pairing|devices|node|renew|backup|restore|doctor|status|why|ca|audit|console|secrets)\b/;
      const option = /['"`].*(?<=[ (])--[a-z][a-z-]+/;
      if (named.test(code) || (option.test(code) && !foreign.test(code)))
        found.push(`${path}:${at + 1}: ${line}`);
    }
  }
  assert.ok(files > 200, String(files));
  assert.deepEqual(found, []);
});
