// The examples run as a reader runs them, and are as short as promised.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const ulid = '[0-7][0-9A-HJKMNP-TV-Z]{25}';

test('examples/one-process.ts pairs a device without a socket, and shuts it out', async () => {
  assert.match(
    await outputOf('one-process'),
    new RegExp(`^paired device ${ulid}\nrevoked: DEVICE_REVOKED\n$`),
  );
});

test('examples/over-network.ts pairs a device over TLS and calls Status over mutual TLS', async () => {
  const line = new RegExp(`^kitchen sensor calls palyra-[a-z2-7]{10}\\.internal as ${ulid}\n$`);
  assert.match(await outputOf('over-network'), line);
});

/** What it prints. Rejects unless it ends by itself with exit code 0. */
async function outputOf(name: string): Promise<string> {
  const path = new URL(`../examples/${name}.ts`, import.meta.url);
  assert.ok(readFileSync(path, 'utf8').split('\n').length <= 60, `${name} has 60 lines or more`);
  const { stdout } = await promisify(execFile)(process.execPath, [fileURLToPath(path)], { timeout: 60_000 });
  return stdout;
}
