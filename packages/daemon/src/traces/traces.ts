// Traces on request: a span for each unary call, and below it a span for each use of the registry. The packages of OpenTelemetry are
// loaded only when a receiver is configured.

import type { Registry } from '@palyra/identity/registry';
import type { CallObserver } from '@palyra/rpc/transport';
import type { DaemonConfig } from '../config.ts';

export interface Traces {
  readonly observe: CallObserver;
  /** The same registry. Its uses within an observed call become spans. */
  registry(registry: Registry): Registry;
  /** Sends what was not sent yet. Never rejects. */
  close(): Promise<void>;
}

export async function openTraces(
  { traces, registry }: Pick<DaemonConfig, 'traces' | 'registry'>,
  version: string,
  onError: (error: unknown, where: string) => void,
): Promise<Traces | undefined> {
  if (!traces) return undefined;
  const { OtlpTraces } = await import('./otlp-traces.ts');
  const database = registry.from === 'postgres' ? 'postgresql' : 'sqlite';
  return new OtlpTraces({ ...traces, version, database, onError });
}
