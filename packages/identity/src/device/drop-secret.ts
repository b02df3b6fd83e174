import { hasCode } from '../errors.ts';
import type { SecretStore } from '../secret-store/port.ts';

/** Looks first, because the secret is usually missing, and an error costs more than a look. */
export async function dropSecret(secrets: SecretStore, name: string): Promise<void> {
  if (!(await secrets.list(name)).includes(name)) return;
  try {
    await secrets.delete(name);
  } catch (error) {
    if (!hasCode(error, 'SECRET_NOT_FOUND')) throw error;
  }
}
