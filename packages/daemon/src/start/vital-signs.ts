// The health of a running daemon: its metrics, the samples for the console's charts, and its current problems.

import { quicTraffic } from '@palyra/transport-quic';
import { HealthHistory } from '../console/health.ts';
import type { ConsoleSessions } from '../console/sessions.ts';
import type { OpenLimit } from '../listeners/open-limit.ts';
import type { OpenListeners } from '../listeners/open-listeners.ts';
import { DaemonMetrics } from '../metrics.ts';
import { KeyWatch, type Problem } from '../problems.ts';
import type { Run } from './run.ts';
import type { Stores } from './stores.ts';

export interface VitalSigns {
  readonly metrics: DaemonMetrics;
  readonly health: HealthHistory;
  readonly problems: () => Promise<Problem[]>;
}

export function watchVitalSigns(
  { identity }: Stores,
  observed: {
    readonly listeners: OpenListeners;
    readonly openLimit: OpenLimit;
    readonly sessions: ConsoleSessions;
    /** Of the daemon. */
    readonly version: string;
  },
  run: Run,
): VitalSigns {
  const { listeners, openLimit, sessions, version } = observed;
  const keyWatch = new KeyWatch(
    () => identity.checkKey(),
    (problem) => run.onError(problem, "the CA's key"),
  );
  const metrics = new DaemonMetrics(identity, {
    version,
    keyProblem: () => keyWatch.problem(),
    connections: () => listeners.connections,
    rateLimited: () => openLimit.refused,
    quicTraffic,
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
      ...listeners.problems,
    ];
  };
  return { metrics, health, problems };
}
