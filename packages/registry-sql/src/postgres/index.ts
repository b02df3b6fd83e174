export type { ChannelClaim, ChannelPlace, PostgresChannels } from './channels.ts';
export type { DueWork, FleetMember, MemberEndpoints, MemberNow } from './members.ts';
export { type Moved, type MoveOptions, moveIntoPostgres } from './move.ts';
export { lookAtPostgresRegistry, openPostgresRegistry, type PostgresRegistryOptions } from './open.ts';
export type { PostgresRegistry, Rate } from './registry.ts';
export { SqlSecretStore, type SqlSecretStoreOptions } from './secret-store.ts';
