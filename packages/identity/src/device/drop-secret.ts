import { hasCode } from '../errors.ts';
import type { SecretStore } from '../secret-store/port.ts';

/** Also one that is not there. */
export async function dropSecret(secrets: SecretStore, name: string): Promise<void> {
  try {
    await secrets.delete(name);
  } catch (error) {
    if (!hasCode(error, 'SECRET_NOT_FOUND')) throw error;
  }
}
