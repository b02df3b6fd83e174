// What is on the disk: the registry, its audit, and the room that is left.

import { stat, statfs } from 'node:fs/promises';
import type { RegistryReads } from '@palyra/identity/registry';
import { Gauge, type Registry } from 'prom-client';
import type { AuditWatch } from '../audit-watch.ts';
import { type Database, whileReachable } from './while-reachable.ts';

export interface StoreFacts {
  /** The daemon's folder. */
  readonly folder: string;
  /** The registry's file; undefined for a database that several daemons share, which has metrics of its own. */
  readonly file: string | undefined;
  readonly auditHead: RegistryReads['auditHead'];
  readonly audit: Pick<AuditWatch, 'last'>;
}

export function addStoreMetrics(
  registry: Registry,
  { folder, file, auditHead, audit }: StoreFacts,
  database: Database | undefined,
): void {
  const registers = [registry];
  new Gauge({
    name: 'palyra_disk_bytes',
    help: "The disk of the daemon's home: its size, and what is free for the daemon",
    labelNames: ['what'],
    registers,
    async collect() {
      const { bavail, blocks, bsize } = await statfs(folder);
      this.set({ what: 'free' }, bavail * bsize);
      this.set({ what: 'size' }, blocks * bsize);
    },
  });
  if (file !== undefined)
    new Gauge({
      name: 'palyra_registry_bytes',
      help: "Size of the registry's file and its log",
      registers,
      async collect() {
        const sizes = await Promise.all(
          [file, `${file}-wal`].map(async (path) => (await stat(path).catch(() => undefined))?.size ?? 0),
        );
        this.set(sizes.reduce((sum, size) => sum + size, 0));
      },
    });
  new Gauge({
    name: 'palyra_audit_rows',
    help: 'Rows of the audit log',
    registers,
    collect: whileReachable(database, async (gauge) => {
      gauge.set((await auditHead()).seq);
    }),
  });
  new Gauge({
    name: 'palyra_audit_intact',
    help: '1 if the last check found the audit chain intact and the tables in agreement, 0 if not; absent before it',
    labelNames: [],
    registers,
    collect() {
      this.remove();
      if (audit.last) this.set(audit.last.isIntact ? 1 : 0);
    },
  });
  new Gauge({
    name: 'palyra_audit_checked_timestamp_seconds',
    help: 'When the audit was last checked, in seconds since 1970; absent before the first check of this start',
    registers,
    collect() {
      this.remove();
      if (audit.last) this.set(audit.last.at.getTime() / 1000);
    },
  });
}
