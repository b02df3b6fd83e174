// Listeners for other programs, over plain HTTP. Each is off unless the configuration gives it a port.

import { formatEndpoint } from '@palyra/identity/values';
import type { DaemonPart } from '@palyra/rpc/admin';
import { listenMetrics } from '../metrics/listener.ts';
import type { Run } from '../start/run.ts';
import type { Stores } from '../start/stores.ts';
import type { VitalSigns } from '../start/vital-signs.ts';
import type { OpenListeners } from './open-listeners.ts';
import { listenAt, type Place } from './places.ts';
import type { PlainHttp } from './plain-http.ts';
import { listenPublish } from './publish-listener.ts';

/** Parts whose problem keeps no device from being served. */
const servesAnyway: ReadonlySet<DaemonPart> = new Set<DaemonPart>(['audit', 'backup']);

export async function listenForPrograms(
  { config, identity }: Stores,
  { metrics, problems }: Pick<VitalSigns, 'metrics' | 'problems'>,
  listeners: OpenListeners,
  run: Run,
): Promise<void> {
  const listen = async (
    name: 'publish' | 'metrics',
    open: (at: Place) => Promise<PlainHttp>,
    path = '',
  ): Promise<void> => {
    const { host, port } = config[name];
    if (port === undefined) return;
    const place = { name, host, port };
    const listener = await listenAt(place, open(place));
    run.undo(() => listener.close());
    listeners.add({ name, address: `http://${formatEndpoint({ host, port: listener.port })}${path}` });
  };
  await listen('publish', (at) => listenPublish(at, identity, run.onError));
  const isReady = async () => {
    if (run.stopping.aborted) return false;
    await identity.registry.counts();
    return (await problems()).every(({ part }) => servesAnyway.has(part));
  };
  await listen('metrics', (at) => listenMetrics(at, metrics, isReady, run.onError), '/metrics');
}
