// A year of one daemon and its devices, from a seed.

import { join } from 'node:path';
import { Random } from '../random.ts';
import { Agenda } from './agenda.ts';
import { Daemon } from './daemon.ts';
import { SimulatedDevice } from './device.ts';
import { FleetOfYear } from './fleet.ts';
import { Invariants } from './invariants.ts';
import { Operator } from './operator.ts';
import { Thieves } from './thieves.ts';

const day = 24 * 3_600_000;
const begin = Date.UTC(2030, 0, 1);
/** The final period, in which every device that is not shut out must connect. */
const rollCallDays = 12;

export interface YearOptions {
  readonly seed: number;
  readonly devices: number;
  readonly days: number;
  /** An empty folder for the home and its backups. */
  readonly folder: string;
  /** Several daemons on an empty PostgreSQL database. Default: one with a registry in a file. */
  readonly fleet?: { readonly url: string; readonly daemons: number };
}

/** @returns the number of each event. @throws Violation */
export async function simulateYear(options: YearOptions): Promise<Invariants> {
  const random = new Random(options.seed);
  const agenda = new Agenda(begin);
  const invariants = new Invariants(agenda);
  const home = join(options.folder, 'home');
  const about = { agenda, random: random.fork(), invariants };
  const { fleet, folder } = options;
  const daemon = fleet
    ? await FleetOfYear.make({ ...fleet, folder, ...about })
    : new Daemon({ home, ...about });
  const operator = new Operator({
    agenda,
    daemon,
    invariants,
    random: random.fork(),
    folder: options.folder,
    restores: !fleet,
  });
  const thieves = new Thieves({ agenda, daemon, invariants, random: random.fork() });
  const world = { agenda, daemon, operator, thieves, invariants };
  const devices = Array.from(
    { length: options.devices },
    (_, number) => new SimulatedDevice(`device ${number + 1}`, world, random.fork()),
  );
  try {
    await daemon.start();
    for (const device of devices) {
      // Most devices pair at the beginning, and some later.
      const joins = random.chance(0.8) ? random.between(0, 5) : random.between(5, options.days / 2);
      agenda.after(joins * day, () => device.begin());
    }
    operator.begin(devices, options.days);
    thieves.begin();
    await agenda.runUntil(begin + options.days * day);

    operator.settle();
    for (const device of devices) device.settle();
    await agenda.runUntil(agenda.nowMs + rollCallDays * day);
    for (const device of devices) {
      if (!device.isRetired && !device.isConnected) invariants.fail(`${device.name} did not come back`);
    }
    await thieves.useAll();
    await daemon.verifyAudit();
    return invariants;
  } finally {
    await daemon.stop();
  }
}
