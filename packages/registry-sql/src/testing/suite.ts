export { registrySuite } from './registry-suite.ts';
export { type SeededDevice, seedDevices, seededDevice, seedRevocations } from './seed.ts';
export { seedPostgres } from './seed-postgres.ts';
