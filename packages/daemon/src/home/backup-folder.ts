// The folder of the scheduled backups. Each name has the daemon and the time:
// `palyra-01KAT0MZP8C4T7T1JQ5Z7K3QX9-2026-03-01T04-00-00Z.age`

import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { withFileErrors } from './file-error.ts';

export interface BackupInFolder {
  readonly file: string;
  readonly at: Date;
}

export class BackupFolder {
  readonly path: string;
  readonly #start: string;

  constructor(path: string, daemonId: string) {
    this.path = path;
    this.#start = `palyra-${daemonId}-`;
  }

  fileOf(at: Date): string {
    return join(this.path, `${this.#start}${at.toISOString().slice(0, 19).replaceAll(':', '-')}Z.age`);
  }

  /** The backups of this daemon, oldest first. Ignores everything else in the folder. @throws as `withFileErrors` */
  async list(): Promise<BackupInFolder[]> {
    const names = await withFileErrors(this.path, () => readdir(this.path));
    return names
      .flatMap((name) => {
        const at = this.#timeIn(name);
        return at ? [{ file: join(this.path, name), at }] : [];
      })
      .sort((one, other) => one.at.getTime() - other.at.getTime());
  }

  #timeIn(name: string): Date | undefined {
    if (!name.startsWith(this.#start)) return undefined;
    const found = /^(\d{4}-\d\d-\d\d)T(\d\d)-(\d\d)-(\d\d)Z\.age$/.exec(name.slice(this.#start.length));
    if (!found) return undefined;
    const [, day, hours, minutes, seconds] = found;
    const at = new Date(`${day}T${hours}:${minutes}:${seconds}Z`);
    return Number.isNaN(at.getTime()) ? undefined : at;
  }
}
