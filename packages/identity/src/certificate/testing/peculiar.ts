// @peculiar/x509 as an independent reader of our certificates. It needs the polyfill, which must load first.

import 'reflect-metadata';

import * as x509 from '@peculiar/x509';

export { x509 };
