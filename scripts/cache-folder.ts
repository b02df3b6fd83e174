import { join } from 'node:path';

/** Of this checkout: what later runs would otherwise build again. */
export const cacheFolder: string = join(import.meta.dirname, '../node_modules/.cache');
