// The state of the daemon, and its changes.

import type { AuditRow, Pairing } from '@palyra/identity/registry';
import type { DeviceId } from '@palyra/identity/values';
import { advices, daemonParts, decisions, explainedKinds, listenerNames } from '@palyra/rpc/admin';
import type { BackupSchedule } from '../home/backup-schedule.ts';
import { RowNames, toWireAudit } from './audit.ts';
import { untilStopped } from './call.ts';
import { toWireDevice } from './devices.ts';
import { explain } from './explain.ts';
import { wireFleet } from './fleet.ts';
import { millis } from './messages.ts';
import type { AdminServiceOptions, Methods } from './options.ts';
import { toWirePairing } from './pairings.ts';
import { watchAll } from './watch.ts';

export function statusMethods(
  options: AdminServiceOptions,
): Methods<'getStatus' | 'explain' | 'watch' | 'getHealth'> {
  const { identity } = options;
  return {
    getStatus: () => toWireStatus(options),

    explain: async ({ id }) => {
      const { kind, decision, reasons, advice, ...rest } = await explain(identity, id);
      return {
        ...rest,
        kind: explainedKinds.toWire(kind),
        decision: decisions.toWire(decision),
        reasons: [...reasons],
        ...(advice && { advice: advices.toWire(advice) }),
      };
    },

    watch(_request, context) {
      const sources = {
        identity,
        connections: options.connections,
        pairing: (pairing: Pairing) => toWirePairing(identity, pairing),
        async device(id: DeviceId) {
          const device = await identity.registry.device(id);
          return device && toWireDevice(options, device);
        },
        audit: (row: AuditRow) => toWireAudit(new RowNames(identity.registry), row),
        status: () => toWireStatus(options),
      };
      return untilStopped(options, context, (signal) => watchAll(sources, signal));
    },
    async getHealth() {
      const { atMs, series } = await options.health.history();
      return { atMs, series: series.map((each) => ({ ...each, values: [...each.values] })) };
    },
  };
}

function toWireBackup({ folder, last, nextAt }: BackupSchedule) {
  return {
    folder,
    ...(last && { lastAtMs: millis(last.at), lastBytes: BigInt(last.bytes) }),
    nextAtMs: millis(nextAt),
  };
}

async function toWireStatus({ identity, ...options }: AdminServiceOptions) {
  const [counts, problems, connected, fleet] = await Promise.all([
    identity.registry.counts(),
    options.problems(),
    options.connections.count(),
    wireFleet(options.fleet),
  ]);
  return {
    daemonId: identity.daemonId,
    trustDomain: identity.trustDomain,
    rootFingerprint: identity.rootFingerprint,
    listeners: options
      .listeners()
      .map(({ name, address }) => ({ name: listenerNames.toWire(name), address })),
    startedAtMs: millis(options.startedAt),
    daemonTimeMs: millis(identity.clock.now()),
    devices: counts.devices,
    connected,
    pendingRequests: counts.pendingRequests,
    liveCodes: counts.waitingCodes,
    version: options.version,
    home: options.home,
    ...fleet,
    ...(options.backups && { backup: toWireBackup(options.backups) }),
    problems: problems.map(({ part, error: { code, message } }) => ({
      part: daemonParts.toWire(part),
      code,
      message,
    })),
  };
}
