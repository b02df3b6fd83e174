// The end of a test file, which may come before the end of its process: `npm test` runs several files in turn in one
// (scripts/test/files-in-turn.ts).

import { channel } from 'node:diagnostics_channel';
import process from 'node:process';

const fileEnded = channel('palyra.test.file-ended');

/** Calls back once, after the file's last test and its hooks. */
export function atEndOfFile(callback: () => void): void {
  const end = () => {
    process.off('exit', end);
    fileEnded.unsubscribe(end);
    callback();
  };
  process.on('exit', end);
  fileEnded.subscribe(end);
}

/** @returns a function that makes the value at its first call in each file. */
export function oncePerFile<T>(make: () => T): () => T {
  let made: { readonly value: T } | undefined;
  return () => {
    if (!made) {
      made = { value: make() };
      atEndOfFile(() => {
        made = undefined;
      });
    }
    return made.value;
  };
}
