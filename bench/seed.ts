// Fills a registry in a separate process, because it works without a pause and a person may want to end it.

import { open } from 'node:fs/promises';
import { seedDevices } from '@palyra/registry-sql/suite';

const [path = '', count] = process.argv.slice(2);
await seedDevices(path, Number(count));
// Otherwise the system would still write the file during the measurement.
const file = await open(path, 'r+');
await file.sync();
await file.close();
