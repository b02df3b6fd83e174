// Announces the daemon on the network, and passes on changes of its registry.

import type { RegistryEvent } from '@palyra/identity/registry';
import { LanAnnouncer } from '../lan/announce.ts';
import type { DaemonMetrics } from '../metrics/metrics.ts';
import { Notice } from '../notices/notice.ts';
import type { Run } from './run.ts';
import type { Stores } from './stores.ts';

/** Passes changes to the operator's notices, the metrics and the embedding program, each after its commit. */
export async function passOnChanges(
  { config, identity }: Stores,
  metrics: DaemonMetrics,
  onEvent: ((event: RegistryEvent) => void) | undefined,
  run: Run,
): Promise<void> {
  const { daemonId, registry } = identity;
  const { clock, onError } = run;
  const notice = await Notice.open({
    config: config.notice,
    daemonId,
    now: () => clock.now(),
    onError,
    onEnd: (way, isDelivered) => metrics.notices.count(way, isDelivered),
  });
  run.undo(() => notice.close());
  // Of a fleet, the daemon that has made a change notifies the operator, and counts it.
  const here = (take: (event: RegistryEvent) => void) =>
    registry.subscribe((event, origin) => origin === 'here' && take(event));
  run.undo(here((event) => notice.take(event)));
  run.undo(here((event) => metrics.countRegistry(event)));
  run.undo(here((event) => run.log?.change(event)));
  if (onEvent) run.undo(registry.subscribe(onEvent));
}

/** Answers devices that search for a daemon on the local network. */
export function announceOnNetwork({ config, identity }: Stores, pairingPort: number, run: Run): void {
  if (!config.announce) return;
  const { daemonId, trustDomain } = identity;
  const { host } = config.pairing;
  const announcer = new LanAnnouncer({
    daemonId,
    trustDomain,
    host,
    port: pairingPort,
    onError: run.onError,
  });
  run.undo(() => announcer.close());
}
