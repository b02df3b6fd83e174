import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { promisify } from 'node:util';

const run = promisify(execFile);

test('what a start left behind is given back to the system, without a function for it in the process', async () => {
  const program = `
    import { getHeapStatistics } from 'node:v8';
    import { collectStartGarbage } from ${JSON.stringify(new URL('./start-garbage.ts', import.meta.url).href)};
    let made = Array.from({ length: 200_000 }, (_, index) => ({ index }));
    made = undefined;
    const before = getHeapStatistics().total_physical_size;
    collectStartGarbage(0);
    setTimeout(() => {
      const after = getHeapStatistics().total_physical_size;
      console.log(JSON.stringify({ before, after, gc: typeof globalThis.gc }));
    }, 1);`;
  const { stdout } = await run(process.execPath, ['--input-type=module', '-e', program]);
  const { before, after, gc } = JSON.parse(stdout);
  assert.ok(before - after > 2_000_000, stdout);
  assert.equal(gc, 'undefined');
});
