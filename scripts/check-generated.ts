// `npm run generated`: checks that the committed code matches the protos.

import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { globSync, readFileSync } from 'node:fs';

const outputs = [
  {
    protos: 'packages/rpc/proto',
    template: 'packages/rpc/buf.gen.yaml',
    files: 'packages/rpc/src/gen/**/*.{js,ts}',
  },
  {
    protos: 'packages/rpc/testing/proto',
    template: 'packages/rpc/testing/buf.gen.yaml',
    files: 'packages/rpc/src/testing/gen/**/*.{js,ts}',
  },
  {
    protos: 'examples/proto',
    template: 'examples/buf.gen.yaml',
    files: 'examples/gen/**/*.{js,ts}',
  },
];

const digest = (pattern: string): string => {
  const hash = createHash('sha256');
  for (const file of globSync(pattern).sort()) hash.update(file).update(readFileSync(file));
  return hash.digest('hex');
};

let stale = false;
for (const { protos, template, files } of outputs) {
  const before = digest(files);
  const run = spawnSync('buf', ['generate', protos, '--template', template], { stdio: 'inherit' });
  if (run.status !== 0) process.exit(1);
  if (digest(files) === before) continue;
  console.error(`The code generated from ${protos} was out of date. It has been regenerated: commit it.`);
  stale = true;
}
process.exit(stale ? 1 : 0);
