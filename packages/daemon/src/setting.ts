// The name of a setting belongs into every message about what it names.

import { IdentityError } from '@palyra/identity';

/** @throws what `use` throws, with the setting before the message unless it is in it. */
export async function withSetting<T>(setting: string, use: () => Promise<T>): Promise<T> {
  try {
    return await use();
  } catch (error) {
    if (!(error instanceof IdentityError) || error.message.includes(setting)) throw error;
    throw new IdentityError(error.code, `${setting}: ${error.message}`, { ...error.fields, cause: error });
  }
}
