// Says where it is, in words that a build must leave alone: `import.meta.dirname`.

import { test } from 'node:test';

const here = import.meta.dirname;

test('a test that fails', () => {
  throw new Error(`in ${here}`);
});
