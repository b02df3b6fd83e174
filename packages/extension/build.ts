// `npm run build -w @palyra/extension`: makes the folder `dist`.

import { join } from 'node:path';
import { buildExtension } from './build-extension.ts';

await buildExtension(join(import.meta.dirname, 'dist'));
