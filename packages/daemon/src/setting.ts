// Adds the name of a setting to errors about its value.

import { IdentityError } from '@palyra/identity';

/** @throws the error of `use`. Prefixes its message with the setting, unless the message already contains it. */
export async function withSetting<T>(setting: string, use: () => Promise<T>): Promise<T> {
  try {
    return await use();
  } catch (error) {
    if (!(error instanceof IdentityError) || error.message.includes(setting)) throw error;
    throw new IdentityError(error.code, `${setting}: ${error.message}`, { ...error.fields, cause: error });
  }
}
