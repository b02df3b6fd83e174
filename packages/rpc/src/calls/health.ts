// grpc.health.v1: reports whether the daemon serves. https://github.com/grpc/grpc/blob/master/doc/health-checking.md

import type { ConnectRouter, HandlerContext } from '@connectrpc/connect';
import { IdentityError } from '@palyra/identity';
import {
  Health,
  type HealthCheckRequest,
  HealthCheckResponse_ServingStatus,
} from '../gen/grpc/health/v1/health_pb.js';
import { throwIfBrokenOff } from './deadline.ts';

const { SERVING, NOT_SERVING, SERVICE_UNKNOWN } = HealthCheckResponse_ServingStatus;

/**
 * Answers for every service of the router, including services added later, and for the daemon as a whole (an empty name).
 * @param stopping aborted when the daemon stops. From then on every answer is "not serving", and the reason ends every `Watch`.
 */
export function healthRoutes(stopping: AbortSignal): (router: ConnectRouter) => void {
  return (router) => {
    const isServed = ({ service }: HealthCheckRequest) =>
      service === '' || router.handlers.some((handler) => handler.service.typeName === service);
    router.service(Health, {
      check(request) {
        if (!isServed(request))
          throw new IdentityError('NOTHING_FOUND', 'There is no service of this name on this listener.');
        return { status: stopping.aborted ? NOT_SERVING : SERVING };
      },
      async *watch(request, context) {
        const known = isServed(request);
        if (!stopping.aborted) yield { status: known ? SERVING : SERVICE_UNKNOWN };
        await aborted(context, stopping);
        throwIfBrokenOff(context.signal);
        if (!stopping.aborted) return;
        if (known) yield { status: NOT_SERVING };
        throw stopping.reason;
      },
    });
  };
}

/** Resolves when the call ends or the daemon stops. */
function aborted({ signal }: HandlerContext, stopping: AbortSignal): Promise<void> {
  const either = AbortSignal.any([signal, stopping]);
  return new Promise((resolve) => {
    if (either.aborted) resolve();
    else either.addEventListener('abort', () => resolve(), { once: true });
  });
}
