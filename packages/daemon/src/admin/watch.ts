// The Watch stream: one stream for everything, because a browser allows only six connections to a console.

import type { IdentityManager } from '@palyra/identity';
import type { Pairing } from '@palyra/identity/registry';
import { type DeviceId, Wakeup } from '@palyra/identity/values';
import type { Connections } from '../channels/connections.ts';
import { maxWaiting, PairingChanges, tooSlow } from './pairing-changes.ts';

export interface WatchSources<P, D, A, S> {
  readonly identity: IdentityManager;
  readonly connections: Connections;
  readonly pairing: (pairing: Pairing) => Promise<P>;
  /** Undefined if there is no such device. */
  readonly device: (id: DeviceId) => Promise<D | undefined>;
  readonly audit: (row: AuditRow) => Promise<A>;
  readonly status: () => Promise<S>;
}

type AuditRow = Awaited<ReturnType<IdentityManager['registry']['audit']>>[number];

/** Longest delay for rows without an event, such as a new name. */
const pollMs = 1_000;
/** Interval of status messages, which show the page that the stream is alive. */
const statusEveryMs = 10_000;

/** The open pairings, then every change. A change in between may be reported twice, but never missed. */
export async function* watchAll<P, D, A, S>(sources: WatchSources<P, D, A, S>, signal: AbortSignal) {
  const { identity, connections } = sources;
  const { registry } = identity;
  const devices = new Set<DeviceId>();
  const wakeup = new Wakeup();
  const watched = await connections.watch((id) => {
    devices.add(id);
    wakeup.wake();
  });
  const pairings = new PairingChanges(identity, wakeup.wake);
  const unsubscribe = registry.subscribe((event) => {
    if ('deviceId' in event) devices.add(event.deviceId);
    wakeup.wake();
  });
  signal.addEventListener('abort', wakeup.wake);
  try {
    let { seq } = await registry.auditHead();
    for (const pairing of await pairings.open()) {
      yield { event: { case: 'pairing', value: await sources.pairing(pairing) } } as const;
    }
    const currentAtMs = BigInt(identity.clock.now().getTime());
    yield { event: { case: 'currentAtMs', value: currentAtMs } } as const;
    let statusAt = Number.NEGATIVE_INFINITY;
    while (!signal.aborted) {
      const changed = pairings.take();
      for (const pairing of changed) {
        if ('request' in pairing) devices.add(pairing.request.deviceId);
        yield { event: { case: 'pairing', value: await sources.pairing(pairing) } } as const;
      }
      const head = await registry.auditHead();
      const missing = head.seq - seq;
      if (missing > maxWaiting) throw tooSlow();
      const rows =
        missing > 0 ? (await registry.audit({ limit: missing, before: head.seq + 1 })).reverse() : [];
      for (const row of rows) {
        for (const id of devicesIn(row)) devices.add(id);
        yield { event: { case: 'audit', value: await sources.audit(row) } } as const;
      }
      seq = head.seq;
      for (const id of await watched.elsewhere()) devices.add(id);
      const touched = [...devices];
      devices.clear();
      for (const id of touched) {
        const device = await sources.device(id);
        if (device) yield { event: { case: 'device', value: device } } as const;
      }
      const isNews = changed.length + rows.length + touched.length > 0;
      if (isNews || performance.now() - statusAt > statusEveryMs) {
        statusAt = performance.now();
        yield { event: { case: 'status', value: await sources.status() } } as const;
      }
      await wakeup.sleep(pollMs);
    }
  } finally {
    pairings.close();
    unsubscribe();
    watched.stop();
    signal.removeEventListener('abort', wakeup.wake);
  }
}

/** The devices that an audit row names. */
function devicesIn({ subject, detailJson, action }: AuditRow): DeviceId[] {
  if (/^(?:device|capability|recovery)\./.test(action)) return [subject as DeviceId];
  const { device }: { device?: unknown } = JSON.parse(detailJson);
  return typeof device === 'string' ? [device as DeviceId] : [];
}
