// Replays the audit rows of the operator's passkeys.

import { type Passkey, passkeysSetting, passkeysText } from '../operator/passkeys.ts';
import type { AuditedRow } from './audited-row.ts';

export class AuditedPasskeys {
  readonly #passkeys = new Map<string, Passkey>();
  readonly #settings: Map<string, string>;

  constructor(settings: Map<string, string>) {
    this.#settings = settings;
  }

  readonly changes = {
    'operator.passkey_added': ({ subject, detail }: AuditedRow) => {
      this.#passkeys.set(subject, {
        id: subject,
        publicKey: String(detail.public_key),
        name: String(detail.name),
        createdAtMs: Number(detail.created_at),
        transports: String(detail.transports),
      });
      this.#tell();
    },
    'operator.passkey_removed': ({ subject }: AuditedRow) => {
      this.#passkeys.delete(subject);
      this.#tell();
    },
  };

  #tell(): void {
    this.#settings.set(passkeysSetting, passkeysText([...this.#passkeys.values()]));
  }
}
