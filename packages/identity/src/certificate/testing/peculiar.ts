// @peculiar/x509 as an independent reader of what we write. It does not load without the polyfill before it.

import 'reflect-metadata';

import * as x509 from '@peculiar/x509';

export { x509 };
