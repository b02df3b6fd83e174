// A native library that npm should have brought and did not: how a person gets it.

import { extname } from 'node:path';

/**
 * @param packageName as npm knows it.
 * @param asker `import.meta.filename` of the file that needs it: a source in a checkout, JavaScript in an installed package.
 * @param command what installs it there. Default: what installed all packages.
 * @returns one sentence or two, for the end of a message.
 */
export function installAgain(
  packageName: string,
  asker: string,
  command = 'npm install FOLDER/palyra-*.tgz',
): string {
  return extname(asker) === '.ts'
    ? 'In the checkout, run: npm ci'
    : `In the project that uses Palyra, remove node_modules/${packageName} if it is there, then run: ${command}`;
}
