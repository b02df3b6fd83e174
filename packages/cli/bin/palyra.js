#!/usr/bin/env node
// The command `palyra`. This file alone must be readable by an old Node, so that it can say what is wrong.
// (Node's own options cannot stand in the first line: a Node that does not know them fails before this file is read.)

const [major, minor] = process.versions.node.split('.').map(Number);

// As in `engines`: SQLite's `serialize` came with 24.16, and 26 lost the client's certificates before 26.10.
if (major < 24 || major === 25 || (major === 24 && minor < 16) || (major === 26 && minor < 10)) {
  console.error(
    'error: palyra needs Node 24.16 or newer, or 26.10 or newer, and this is Node ' +
      process.versions.node +
      '.\n' +
      'In a checkout, run it as `npx palyra`: `npm ci` brings the right Node.\n' +
      'Otherwise install Node 26: https://nodejs.org/, or in a project of yours: npm install node@26',
  );
  process.exitCode = 1;
} else {
  // Node calls SQLite experimental on every start; its users cannot do anything about that.
  process.removeAllListeners('warning');
  process.on('warning', (warning) => {
    if (warning.name !== 'ExperimentalWarning') console.error(String(warning.stack));
  });
  // On the first of them Node opens a debugger that every user of the machine can reach, by the second it ends. Whatever
  // rotates logs sends them to daemons.
  for (const signal of ['SIGUSR1', 'SIGUSR2']) process.on(signal, () => {});
  import('../src/main.ts');
}
