// Scheduled backups: made and failed, and the last one.

import { Counter, Gauge, type Registry } from 'prom-client';
import type { BackupSchedule } from '../home/backup-schedule.ts';

export type BackupFacts = Pick<BackupSchedule, 'last'>;

export class BackupMetrics {
  readonly #total: Counter;

  constructor(registry: Registry, facts: BackupFacts) {
    const registers = [registry];
    this.#total = new Counter({
      name: 'palyra_backups_total',
      help: 'Scheduled backups since the start, made and failed',
      labelNames: ['outcome'],
      registers,
    });
    for (const outcome of ['made', 'failed']) this.#total.inc({ outcome }, 0);
    new Gauge({
      name: 'palyra_backup_last_success_timestamp_seconds',
      help: 'When the newest complete backup was made, in seconds since 1970; 0 if there is none',
      registers,
      collect() {
        this.set((facts.last?.at.getTime() ?? 0) / 1000);
      },
    });
    new Gauge({
      name: 'palyra_backup_last_bytes',
      help: 'Size of the newest complete backup; 0 if there is none',
      registers,
      collect() {
        this.set(facts.last?.bytes ?? 0);
      },
    });
  }

  count(isMade: boolean): void {
    this.#total.inc({ outcome: isMade ? 'made' : 'failed' });
  }
}
