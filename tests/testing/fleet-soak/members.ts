// Three daemons as processes, each with its own link to one database, and what goes wrong with them.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { PairedEnrollment } from '@palyra/identity/device';
import { dialNode, type NodeConnection } from '@palyra/rpc';
import { createQuic, dialNodeQuic } from '@palyra/transport-quic';
import { DaemonProcess } from '../daemon-process.ts';
import { DatabaseLink } from '../database-link.ts';
import { type FleetSettings, homeWith } from '../fleet.ts';
import { onlyAt } from '../only-at.ts';
import type { Scope } from '../palyra-process.ts';
import type { PostgresServer } from '../postgres.ts';
import type { Random } from '../random.ts';
import { temporaryFolder } from '../temporary-folder.ts';

const quic = createQuic();
const here = { host: '127.0.0.1', port: 0 };
const many = 1_000_000;

export class Member {
  readonly home: string;
  readonly link: DatabaseLink;
  readonly #scope: Scope;
  daemon: DaemonProcess;

  static async start(scope: Scope, settings: FleetSettings): Promise<Member> {
    const link = await DatabaseLink.listen(scope, settings.url);
    const urlFile = join(temporaryFolder(), 'database-url');
    writeFileSync(urlFile, link.url, { mode: 0o600 });
    const home = homeWith({
      pairing: here,
      node: here,
      announce: false,
      console: { enabled: false },
      cloning: 'quarantine',
      limits: {
        opensPerMinutePerSource: many,
        opensPerMinute: many,
        strangersPerSource: 10_000,
        supersededGraceMs: 1,
      },
      registry: { ...settings.registry, urlFile },
      masterKey: settings.masterKey,
    });
    return new Member(scope, home, link, await DaemonProcess.start(scope, { home }));
  }

  private constructor(scope: Scope, home: string, link: DatabaseLink, daemon: DaemonProcess) {
    this.#scope = scope;
    this.home = home;
    this.link = link;
    this.daemon = daemon;
  }

  async killAndStart(): Promise<void> {
    await this.daemon.kill();
    // As under systemd: a start without the database is repeated.
    for (let tries = 0; ; tries += 1)
      try {
        this.daemon = await DaemonProcess.start(this.#scope, { home: this.home });
        return;
      } catch (error) {
        if (tries === 20 || !String(error).includes('STORE_UNREACHABLE')) throw error;
      }
  }

  dial(enrollment: PairedEnrollment, isQuic: boolean): Promise<NodeConnection> {
    const { nodeAddress } = this.daemon;
    return isQuic ? dialNodeQuic(quic, onlyAt(enrollment, this.daemon)) : dialNode(nodeAddress, enrollment);
  }
}

/** Something goes wrong. Resolves when it is over. */
export async function mishap(
  members: readonly Member[],
  server: PostgresServer,
  random: Random,
): Promise<string> {
  const member = random.pick(members);
  const forAWhile = () => sleep(random.between(10, 250));
  await sleep(random.between(0, 60));
  const draw = random.next();
  if (draw < 0.3) {
    member.daemon.process.send('SIGSTOP');
    await forAWhile();
    member.daemon.process.send('SIGCONT');
    return 'daemon paused';
  }
  if (draw < 0.6) {
    const isCut = random.chance(0.5);
    if (isCut) member.link.cut();
    else member.link.hold();
    await forAWhile();
    member.link.mend();
    return isCut ? 'link cut' : 'link held';
  }
  if (draw < 0.75) {
    server.pause();
    await forAWhile();
    server.resume();
    return 'database paused';
  }
  if (draw < 0.85) {
    await server.killOne();
    return 'part of the database killed';
  }
  if (draw < 0.9) {
    await server.kill();
    await forAWhile();
    await server.run();
    return 'database killed';
  }
  await member.killAndStart();
  return 'daemon killed';
}
