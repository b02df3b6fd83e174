// Prints its own folder, and contains text that a build must not change: `import.meta.dirname`.

import { test } from 'node:test';

const here = import.meta.dirname;

test('a test that fails', () => {
  throw new Error(`in ${here}`);
});
