// The examples run as in the documents, and are as short as promised.

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

test('examples/own-service.ts serves its own service over HTTP/2 and QUIC, and a revocation ends both calls', async () => {
  const lines = (await outputOf('own-service', 80)).split('\n');
  const greeting = `Hello, kitchen sensor! \\(device ${ulid}, certificate [0-9a-f]{32}\\)`;
  assert.match(lines[0]!, new RegExp(`^http2: ${greeting}$`));
  assert.match(lines[1]!, new RegExp(`^quic: ${greeting}$`));
  assert.deepEqual(lines.slice(2).sort(), ['', 'http2: DEVICE_REVOKED', 'quic: DEVICE_REVOKED']);
});

/** The example's output. Rejects unless it ends by itself with exit code 0. */
async function outputOf(name: string, lines = 60): Promise<string> {
  const path = new URL(`../../examples/${name}.ts`, import.meta.url);
  assert.ok(readFileSync(path, 'utf8').split('\n').length <= lines, `${name} has ${lines} lines or more`);
  const { stdout } = await promisify(execFile)(process.execPath, [fileURLToPath(path)], { timeout: 60_000 });
  return stdout;
}
