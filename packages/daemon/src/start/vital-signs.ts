// The health of a running daemon: its metrics, the samples for the console's charts, and its current problems.

import { type CallObserver, observeBy } from '@palyra/rpc/transport';
import { quicTraffic } from '@palyra/transport-quic';
import { AuditWatch } from '../audit-watch.ts';
import { HealthHistory } from '../console/health.ts';
import type { ConsoleSessions } from '../console/sessions.ts';
import { BackupSchedule } from '../home/backup-schedule.ts';
import { isShared } from '../home/registry-place.ts';
import type { OpenLimit } from '../listeners/open-limit.ts';
import type { OpenListeners } from '../listeners/open-listeners.ts';
import { DaemonMetrics } from '../metrics/metrics.ts';
import { KeyWatch, type Problem } from '../problems.ts';
import type { DaemonCredential } from './credential.ts';
import type { Run } from './run.ts';
import type { Stores } from './stores.ts';

export interface VitalSigns {
  readonly metrics: DaemonMetrics;
  readonly audit: AuditWatch;
  /** Undefined if none are configured. */
  readonly backups: BackupSchedule | undefined;
  readonly health: HealthHistory;
  readonly problems: () => Promise<Problem[]>;
  /** Hears of every call: metrics, traces and the log. */
  readonly observe: CallObserver;
}

export async function watchVitalSigns(
  { identity, home, config, input, secrets, traces, fleet }: Stores,
  observed: {
    readonly listeners: OpenListeners;
    readonly openLimit: OpenLimit;
    readonly sessions: ConsoleSessions;
    /** Of the daemon. */
    readonly version: string;
    readonly credential: DaemonCredential;
  },
  run: Run,
): Promise<VitalSigns> {
  const { listeners, openLimit, sessions, version, credential } = observed;
  const { registry } = identity;
  const keyWatch = new KeyWatch(
    () => identity.checkKey(),
    (problem) => run.onError(problem, "the CA's key"),
  );
  const audit = new AuditWatch({ registry, clock: run.clock, onError: run.onError });
  run.undo(() => audit.close());
  const backups =
    config.backup &&
    (await BackupSchedule.open({
      config: config.backup,
      daemonId: identity.daemonId,
      state: { paths: home, input, config, secrets },
      clock: run.clock,
      onError: run.onError,
      onEnd: (isMade, made) => {
        metrics.backups?.count(isMade);
        if (made) run.log?.line('info', 'backup made', { file: made.file, bytes: made.bytes });
      },
    }));
  if (backups) run.undo(() => backups.close());
  const { provider, token } = identity.authorityKeys.place;
  const metrics = new DaemonMetrics({
    version,
    connections: () => listeners.connections,
    rateLimited: () => openLimit.refused,
    quicTraffic,
    authority: {
      authorities: () => registry.authorities(),
      daemonCertificateEnd: () => credential.current.notAfter,
      keyProblem: () => keyWatch.problem(),
      token: provider === 'pkcs11' ? token : undefined,
    },
    fleet: {
      counts: () => registry.counts(),
      deviceStates: () => registry.deviceStates(),
      changes: () => registry.changes,
    },
    store: {
      folder: home.path,
      file: isShared(config) ? undefined : home.registry,
      auditHead: () => registry.auditHead(),
      audit,
    },
    shared: fleet && {
      database: fleet.database,
      members: () => fleet.members(),
      dueWork: () => fleet.dueWork.dueWork(),
    },
    backups,
  });
  const health = new HealthHistory(
    metrics,
    () => ({ palyra_console_failed_logins: sessions.failedLogins }),
    (error) => run.onError(error, 'the health samples'),
  );
  run.undo(() => health.close());
  const problems = async (): Promise<Problem[]> => {
    const keyProblem = await keyWatch.problem();
    const issuerProblem = identity.issuerProblem();
    return [
      ...(keyProblem ? [{ part: 'ca key' as const, error: keyProblem }] : []),
      ...(issuerProblem ? [{ part: 'issuing ca' as const, error: issuerProblem }] : []),
      ...(audit.problem ? [{ part: 'audit' as const, error: audit.problem }] : []),
      ...(backups?.problem ? [{ part: 'backup' as const, error: backups.problem }] : []),
      ...listeners.problems,
    ];
  };
  const observe = observeBy([
    metrics.observe,
    ...(traces ? [traces.observe] : []),
    ...(run.log ? [run.log.observe] : []),
  ]);
  return { metrics, audit, backups, health, problems, observe };
}
