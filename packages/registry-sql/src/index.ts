export { copySqliteRegistry } from './sqlite/copy.ts';
export { lookAtSqliteRegistry, openSqliteRegistry, type SqliteRegistryOptions } from './sqlite/open.ts';
