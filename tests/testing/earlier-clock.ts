// Loaded into a process before its program (`node --import`): sets its clock back by PALYRA_TEST_HOURS_AGO. TLS itself
// still uses the system's clock.

import process from 'node:process';

const behindMs = Number(process.env.PALYRA_TEST_HOURS_AGO) * 3_600_000;
const SystemDate = Date;

globalThis.Date = class extends SystemDate {
  constructor(...given: unknown[]) {
    super(...((given.length > 0 ? given : [SystemDate.now() - behindMs]) as [number]));
  }

  static override now(): number {
    return SystemDate.now() - behindMs;
  }
} as DateConstructor;
