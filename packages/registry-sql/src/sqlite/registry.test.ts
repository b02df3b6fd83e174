import { registrySuite } from '../registry-suite.ts';
import { openSqliteRegistry } from './open.ts';

registrySuite('SQLite', () => openSqliteRegistry({ path: ':memory:' }));
