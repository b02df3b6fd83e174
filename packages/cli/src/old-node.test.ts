import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const bin = fileURLToPath(new URL('../bin/palyra.js', import.meta.url));

/** A Node too old for the project, from Debian. */
function findOldNode(): string | undefined {
  return ['/usr/bin/node', '/usr/local/bin/node', '/usr/bin/nodejs'].find((path) => {
    const { status, stdout } = spawnSync(path, ['--version'], { encoding: 'utf8' });
    return status === 0 && Number(/^v(\d+)/.exec(stdout)?.[1]) < 24;
  });
}

test('on an old Node, palyra names the versions it needs and how to get one', (t) => {
  const oldNode = findOldNode();
  if (!oldNode) return t.skip('NOT RUN: this machine has no Node older than 24');
  const { status, stdout, stderr } = spawnSync(oldNode, [bin, 'status'], { encoding: 'utf8' });
  assert.equal(status, 1);
  assert.equal(stdout, '');
  assert.match(
    stderr,
    /^error: palyra needs Node 24\.16 or newer, or 26\.10 or newer, and this is Node \d+\.\d+\.\d+\.\n.*`npx palyra`/,
  );
});

test('the Node that runs the tests starts palyra without warnings', () => {
  const { status, stdout, stderr } = spawnSync(process.execPath, [bin, '--version'], { encoding: 'utf8' });
  assert.equal(status, 0);
  assert.match(stdout, /^\d+\.\d+\.\d+\n$/);
  assert.equal(stderr, '');
});
