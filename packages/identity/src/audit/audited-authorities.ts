// Replays the audit rows of authorities and settings.

import type { AuditedRow, Changing } from './audited-row.ts';
import type { AuditAction } from './entry.ts';

type AuthorityAction = Extract<
  AuditAction,
  'daemon.created' | 'daemon.restored' | `authority.${string}` | `root.${string}`
>;

export class AuditedAuthorities {
  readonly authorities = new Map<string, Changing>();
  readonly settings = new Map<string, string>();

  readonly changes: Readonly<Record<AuthorityAction, (row: AuditedRow) => void>> = {
    'daemon.created': ({ subject, detail }) => {
      this.settings.set('daemon_id', subject);
      this.settings.set('trust_domain', String(detail.trustDomain));
      this.settings.set('authority_keys', String(detail.keys));
    },
    'daemon.restored': ({ atMs, detail }) => {
      this.settings.set('restored', JSON.stringify({ atMs, madeAtMs: detail.made_at }));
    },

    'authority.created': ({ subject, detail }) => void this.authorities.set(subject, { ...detail }),
    'authority.replaced': ({ subject, detail }) => {
      this.#set(subject, 'trusted');
      // The pairing of a known device. A new device has its own row.
      if (detail.by !== undefined) this.#set(String(detail.by), 'active');
    },
    'authority.retired': ({ subject }) => this.#set(subject, 'retired'),
    'root.prepared': ({ detail }) => this.#setRotation(detail),
    'root.activated': ({ detail }) => {
      this.#swapRoots(String(detail.root));
      this.#setRotation(detail);
    },
    'root.finished': ({ detail }) => {
      for (const facts of this.authorities.values())
        if (facts.tier === 'root' && facts.state === 'trusted') facts.state = 'retired';
      this.#setRotation(detail);
    },
    'root.rolled_back': ({ subject, detail }) => {
      if (detail.phase === 'none') this.#set(subject, 'retired');
      else this.#swapRoots(String(detail.root));
      this.#setRotation(detail);
    },
  };

  #set(id: string, state: string): void {
    const facts = this.authorities.get(id);
    if (facts) facts.state = state;
  }

  #swapRoots(comingId: string): void {
    for (const facts of this.authorities.values()) if (facts.state === 'active') facts.state = 'trusted';
    this.#set(comingId, 'active');
  }

  #setRotation({ phase, since, root }: AuditedRow['detail']): void {
    const stored = phase === 'none' ? '' : JSON.stringify({ phase, sinceMs: since, rootId: root });
    this.settings.set('root_rotation', stored);
  }
}
