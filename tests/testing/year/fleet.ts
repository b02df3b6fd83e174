// Several simulated daemons on one PostgreSQL, as devices and the operator see them: one authority, of which each request
// reaches some daemon that is up.

import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { masterKeyFromFile } from '@palyra/identity';
import { openPostgresRegistry, SqlSecretStore } from '@palyra/registry-sql/postgres';
import type { Random } from '../random.ts';
import type { Agenda } from './agenda.ts';
import { type Authority, Daemon } from './daemon.ts';
import type { Invariants } from './invariants.ts';

export class FleetOfYear implements Authority {
  readonly #daemons: readonly Daemon[];
  readonly #random: Random;

  static async make(options: {
    /** An empty database. */
    readonly url: string;
    readonly daemons: number;
    readonly folder: string;
    readonly agenda: Agenda;
    readonly random: Random;
    readonly invariants: Invariants;
  }): Promise<FleetOfYear> {
    const { url, folder, agenda, random, invariants } = options;
    const path = join(folder, 'master.key');
    await writeFile(path, randomBytes(32), { mode: 0o600 });
    const daemons = Array.from({ length: options.daemons }, (_, number) => {
      const openShared = async () => {
        // Makes the tables of both.
        const registry = await openPostgresRegistry({ url, daemon: `daemon-${number}`, onError: () => {} });
        const masterKey = await masterKeyFromFile({ path });
        return { registry, secrets: await SqlSecretStore.open({ url, masterKey }) };
      };
      const home = join(folder, `home-${number}`);
      return new Daemon({ home, agenda, random: random.fork(), invariants, openShared });
    });
    return new FleetOfYear(daemons, random.fork());
  }

  private constructor(daemons: readonly Daemon[], random: Random) {
    this.#daemons = daemons;
    this.#random = random;
  }

  get home(): string {
    return this.#first.home;
  }
  get clock() {
    return this.#first.clock;
  }
  get nowMs(): number {
    return this.#first.nowMs;
  }
  get isUp(): boolean {
    return this.#up.length > 0;
  }
  get clockOffsetMs(): number {
    return this.#first.clockOffsetMs;
  }
  set clockOffsetMs(offsetMs: number) {
    for (const each of this.#daemons) each.clockOffsetMs = offsetMs;
  }
  get certificateLifeMs(): number {
    return this.#first.certificateLifeMs;
  }
  set certificateLifeMs(lifeMs: number) {
    for (const each of this.#daemons) each.certificateLifeMs = lifeMs;
  }
  get onEvent() {
    return this.#first.onEvent;
  }
  /** Every daemon tells every event; the operator hears it once. */
  set onEvent(listener: Daemon['onEvent']) {
    for (const each of this.#daemons)
      each.onEvent = (event) => {
        if (this.#up[0] === each) listener(event);
      };
  }
  get openConnections() {
    return this.#daemons.flatMap((each) => [...each.openConnections]);
  }

  async start(): Promise<void> {
    for (const each of this.#daemons) if (!each.isUp) await each.start();
  }

  async stop(): Promise<void> {
    for (const each of this.#daemons) await each.stop();
  }

  crashAt(step: number, isNextStart: boolean): void {
    if (step === Number.POSITIVE_INFINITY) for (const each of this.#daemons) each.crashAt(step, isNextStart);
    else this.#any.crashAt(step, isNextStart);
  }

  async operate<T>(work: Parameters<typeof Daemon.prototype.operate<T>>[0]): Promise<T> {
    try {
      return await this.#any.operate(work);
    } finally {
      await this.#follow();
    }
  }

  async authorityChanged(): Promise<void> {
    await this.#follow();
  }

  async verifyAudit(): Promise<void> {
    await this.#any.verifyAudit();
  }

  forgetAuditHead(): void {
    for (const each of this.#daemons) each.forgetAuditHead();
  }

  presented() {
    return this.#any.presented();
  }

  accept(...words: Parameters<Daemon['accept']>) {
    return this.#any.accept(...words);
  }

  pairingPeer(source: string) {
    return this.#any.pairingPeer(source);
  }

  async #follow(): Promise<void> {
    for (const each of this.#daemons) await each.follow();
  }

  get #first(): Daemon {
    return this.#daemons[0]!;
  }

  get #up(): readonly Daemon[] {
    return this.#daemons.filter((each) => each.isUp);
  }

  /** Like a device that knows every daemon. */
  get #any(): Daemon {
    const up = this.#up;
    return up.length > 0 ? this.#random.pick(up) : this.#first;
  }
}
