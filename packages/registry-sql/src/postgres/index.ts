export { type Moved, type MoveOptions, moveIntoPostgres } from './move.ts';
export { lookAtPostgresRegistry, openPostgresRegistry, type PostgresRegistryOptions } from './open.ts';
export type { FleetMember, PostgresRegistry, Rate } from './registry.ts';
export { SqlSecretStore, type SqlSecretStoreOptions } from './secret-store.ts';
