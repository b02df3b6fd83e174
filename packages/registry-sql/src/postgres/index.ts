export type { ChannelClaim, ChannelPlace, PostgresChannels } from './channels.ts';
export { copyPostgresRegistry, sizeOfPostgresRegistry } from './file-copy.ts';
export type { DueWork, FleetMember, MemberEndpoints, MemberNow } from './members.ts';
export { type MoveOptions, moveIntoPostgres } from './move.ts';
export { type MoveBackOptions, moveIntoFile } from './move-back.ts';
export {
  lookAtFleet,
  lookAtPostgresRegistry,
  openPostgresRegistry,
  type PostgresRegistryOptions,
} from './open.ts';
export type { PostgresRegistry, Rate } from './registry.ts';
export { type DatabaseRoles, prepareForRole, sqlForRoles } from './rights.ts';
export { SqlSecretStore, type SqlSecretStoreOptions } from './secret-store.ts';
export type { Moved } from './verified-copy.ts';
