export { registrySuite } from './registry-suite.ts';
export { type SeededDevice, seedDevices, seededDevice } from './seed.ts';
