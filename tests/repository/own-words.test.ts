// What is said to people is said by us: an error of Node, OpenSSL or SQLite is told by `reasonOf`, and kept as the cause.

import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

const repository = join(import.meta.dirname, '../..');
const sources = globSync('packages/*/src/**/*.ts', {
  cwd: repository,
  exclude: (path) => /node_modules|(?:^|\/)(?:dist|gen|testing)$|\.test\.ts$/.test(path),
});

/** Where an error's own words may be put into a text, and why. */
const allowed: Readonly<Record<string, string>> = {
  'packages/identity/src/reason.ts': 'it is the one that decides',
  'packages/cli/src/commands/daemon.ts': 'the log of the daemon, for whoever mends it',
  'packages/cli/src/commands/backup.ts': 'a TypeError of ours that says which option is missing',
  'packages/cli/src/supervisor.ts': 'the words of systemd-notify',
  'packages/rpc/src/calls/call-stream.ts': 'an error that is none becomes one',
  'packages/rpc/src/calls/unary-call.ts': 'the words of Connect for what no client of ours sends',
  'packages/rpc/src/access/peer-chain.ts': 'OpenSSL is asked which of its codes it is',
  'packages/daemon/src/setting.ts': 'an error of ours, with the name of the setting before it',
  'packages/signer-pkcs11/src/module.ts': 'the words of the PKCS #11 module and of the loader',
  'packages/signer-pkcs11/src/token.ts': 'the codes of the PKCS #11 module',
};

const ownWords =
  /\$\{[^}`]*\b(?:cause|error|failure)(?: as \w+\))?\.message|\bString\((?:\w+\.)*(?:cause|error|authorizationError)\)|\{[^}]*\bmessage\b[^}]*\} = (?:cause|error) as NodeJS\.ErrnoException/;

test('no text of ours repeats what Node, OpenSSL or SQLite says', () => {
  assert.ok(sources.length > 200, 'the sources were found');
  const found = sources.filter((path) => ownWords.test(readFileSync(join(repository, path), 'utf8')));
  assert.deepEqual(
    found.filter((path) => !(path in allowed)),
    [],
    'use reasonOf(cause) of @palyra/identity, and keep the error as the cause',
  );
  for (const path of Object.keys(allowed)) assert.ok(found.includes(path), `${path} needs no leave any more`);
});
