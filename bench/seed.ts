// Fills a registry, as a process of its own: it works without a pause, and a person may want to end it.

import { open } from 'node:fs/promises';
import { seedDevices } from '@palyra/registry-sql/suite';

const [path = '', count] = process.argv.slice(2);
await seedDevices(path, Number(count));
// Otherwise the system still writes it while we measure.
const file = await open(path, 'r+');
await file.sync();
await file.close();
