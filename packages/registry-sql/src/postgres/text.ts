// The type of text columns. The order of a language would differ between databases, and change with their versions.

import { sql } from 'kysely';

export const textInBytes = sql`text collate "C"`;
