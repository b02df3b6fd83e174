// A second daemon, real in every respect, that claims to be the first: its id and its trust domain. It has no key of it.

import type { TestContext } from 'node:test';
import { TestDaemon, type TestDaemonOptions } from './running-daemon.ts';

export async function startImpostor(
  t: TestContext,
  daemon: TestDaemon,
  options: TestDaemonOptions = {},
): Promise<TestDaemon> {
  const { daemonId, trustDomain } = daemon.running.identity;
  const before = await TestDaemon.start(t, { ...options, trustDomain });
  await before.running.identity.registry.transact((tx) => tx.putSetting('daemon_id', daemonId));
  await before.stop();
  return TestDaemon.start(t, { ...options, trustDomain, home: before.home });
}
