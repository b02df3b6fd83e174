// Calls by method: how many, with which outcome, and how long the unary ones took.

import type { CallObserver } from '@palyra/rpc/transport';
import { Counter, Histogram, type Registry } from 'prom-client';

/** Methods that give a paired device a new certificate. */
const renewals: Readonly<Record<string, string>> = {
  'palyra.node.v1.NodeService/Renew': 'renewal',
  'palyra.pairing.v1.PairingService/Recover': 'recovery',
};

export function observeCalls(registry: Registry): CallObserver {
  const registers = [registry];
  const total = new Counter({
    name: 'palyra_calls_total',
    help: 'Calls since the start, by method and outcome: ok, a stable error code, or a gRPC code',
    labelNames: ['method', 'outcome'],
    registers,
  });
  const seconds = new Histogram({
    name: 'palyra_call_duration_seconds',
    help: 'Time that unary calls took, from the complete request to the answer',
    labelNames: ['method'],
    buckets: [0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10],
    registers,
  });
  const certificates = new Counter({
    name: 'palyra_renewals_total',
    help: 'Renewals and recoveries of devices since the start, made and refused',
    labelNames: ['how', 'outcome'],
    registers,
  });
  // An alert sees the first failure only if the counter was there before.
  for (const how of Object.values(renewals))
    for (const outcome of ['made', 'refused']) certificates.inc({ how, outcome }, 0);

  return ({ method, kind }) => {
    const startedMs = performance.now();
    return {
      end: (outcome) => {
        total.inc({ method, outcome });
        if (kind === 'unary') seconds.observe({ method }, (performance.now() - startedMs) / 1000);
        const how = renewals[method];
        if (how) certificates.inc({ how, outcome: outcome === 'ok' ? 'made' : 'refused' });
      },
    };
  };
}
