// The type of text columns. A language's sort order would differ between databases and versions.

import { sql } from 'kysely';

export const textInBytes = sql`text collate "C"`;
