// Keeps changing the registry named by the first argument, and prints the number of each change once it is acknowledged.
// crash.test.ts kills it. The second argument is the length of a text in each change.

import { writeSync } from 'node:fs';
import { openSqliteRegistry } from '../index.ts';
import { sampleDevice, sampleEvent } from './samples.ts';

const [path, length] = process.argv.slice(2);
if (path === undefined) throw new TypeError('the path of a registry is missing');
const registry = await openSqliteRegistry({ path });
for (let number = 1; ; number += 1) {
  await registry.transact(async (tx) => {
    await tx.putSetting('number', String(number));
    await tx.putSetting('filler', String(number % 10).repeat(Number(length)));
    await tx.insertDevice(sampleDevice());
    await tx.appendAudit(sampleEvent());
  });
  writeSync(1, `${number}\n`);
}
