// A second real daemon that claims the id and trust domain of the first, without its keys.

import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { FilesystemSecretStore, masterKeyFromFile } from '@palyra/identity';
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
  const folder = join(before.home, 'daemon');
  const masterKey = await masterKeyFromFile({ path: join(folder, 'master.key') });
  const secrets = await FilesystemSecretStore.open({ path: join(folder, 'secrets'), masterKey });
  await secrets.write('daemon/created', new TextEncoder().encode(daemonId));
  await secrets.close();
  return TestDaemon.start(t, { ...options, trustDomain, home: before.home });
}
