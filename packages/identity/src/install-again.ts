// Explains how to install a native library that npm failed to install.

import { extname } from 'node:path';

/**
 * @param packageName the npm package.
 * @param asker `import.meta.filename` of the file that needs it: TypeScript in a checkout, JavaScript if installed.
 * @param command the command that installs it. Default: the one that installed all packages.
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
