// The scope that the tests of one file share. It is cleaned up after the last test. Use it in a `before`: a failure
// there fails the tests, and is cleaned up too.

import { after } from 'node:test';
import type { Scope } from './palyra-process.ts';

export function fileScope(): Scope {
  const ends: (() => Promise<void>)[] = [];
  after(async () => {
    for (let end = ends.pop(); end; end = ends.pop()) await end();
  });
  return { after: (end) => void ends.push(end) };
}
