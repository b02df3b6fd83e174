// Loaded into a daemon before its program (`node --import`): the process kills itself, with SIGKILL, right before or
// right after the commit of the change that writes a given text. Everything else is the real thing.

import process from 'node:process';
import { StatementSync } from 'node:sqlite';

const [when, text] = (process.env.PALYRA_TEST_KILL ?? '').split('|') as ['before' | 'after', string];
const { run } = StatementSync.prototype;
let found = false;

StatementSync.prototype.run = function (this: StatementSync, ...values: unknown[]) {
  if (values.some((value) => typeof value === 'string' && value.includes(text))) found = true;
  const commits = found && this.sourceSQL === 'COMMIT';
  if (commits && when === 'before') process.kill(process.pid, 'SIGKILL');
  const result = run.apply(this, values as Parameters<typeof run>);
  if (commits) process.kill(process.pid, 'SIGKILL');
  return result;
} as typeof run;
