// Loaded into a daemon before its program (`node --import`): while the file PALYRA_TEST_KILL contains `before|TEXT` or
// `after|TEXT`, the process kills itself with SIGKILL right before or after the commit of the change that writes that
// text. Everything else is real.

import { readFileSync } from 'node:fs';
import process from 'node:process';
import { StatementSync } from 'node:sqlite';

const { run } = StatementSync.prototype;
let found = false;

StatementSync.prototype.run = function (this: StatementSync, ...values: unknown[]) {
  const [when, text] = readFileSync(process.env.PALYRA_TEST_KILL!, 'utf8').split('|');
  if (text && values.some((value) => typeof value === 'string' && value.includes(text))) found = true;
  const commits = found && this.sourceSQL === 'COMMIT';
  if (commits && when === 'before') process.kill(process.pid, 'SIGKILL');
  const result = run.apply(this, values as Parameters<typeof run>);
  if (commits) process.kill(process.pid, 'SIGKILL');
  return result;
} as typeof run;
