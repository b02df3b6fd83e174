// Messages for people use our words: `reasonOf` describes an error of Node, OpenSSL or SQLite, and the error is kept as the cause.

import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

const repository = join(import.meta.dirname, '../..');
const sources = globSync('packages/*/src/**/*.ts', {
  cwd: repository,
  exclude: (path) => /node_modules|(?:^|\/)(?:dist|gen|testing)$|\.test\.ts$/.test(path),
});

/** The places where a text may contain an error's own message, with the reason. */
const allowed: Readonly<Record<string, string>> = {
  'packages/identity/src/reason.ts': 'it makes the decision',
  'packages/cli/src/commands/daemon.ts': 'the daemon’s log, for debugging',
  'packages/cli/src/commands/backup.ts': 'our own TypeError, which names the missing option',
  'packages/cli/src/supervisor.ts': 'the message of systemd-notify',
  'packages/rpc/src/calls/call-stream.ts': 'converts other values to an error',
  'packages/rpc/src/calls/unary-call.ts': 'Connect’s message for input that our clients never send',
  'packages/rpc/src/access/peer-chain.ts': 'asks OpenSSL for its error code',
  'packages/daemon/src/setting.ts': 'our own error, with the name of the setting added',
  'packages/signer-pkcs11/src/module.ts': 'the messages of the PKCS #11 module and of the loader',
  'packages/signer-pkcs11/src/token.ts': 'the codes of the PKCS #11 module',
};

const ownWords =
  /\$\{[^}`]*\b(?:cause|error|failure)(?: as \w+\))?\.message|\bString\((?:\w+\.)*(?:cause|error|authorizationError)\)|\{[^}]*\bmessage\b[^}]*\} = (?:cause|error) as NodeJS\.ErrnoException/;

test('no text of ours repeats a message of Node, OpenSSL or SQLite', () => {
  assert.ok(sources.length > 200, 'the sources were found');
  const found = sources.filter((path) => ownWords.test(readFileSync(join(repository, path), 'utf8')));
  assert.deepEqual(
    found.filter((path) => !(path in allowed)),
    [],
    'use reasonOf(cause) of @palyra/identity, and keep the error as the cause',
  );
  for (const path of Object.keys(allowed)) assert.ok(found.includes(path), `${path} needs no leave any more`);
});
