export { openSqliteRegistry, type SqliteRegistryOptions } from './sqlite/open.ts';
