// palyra.node.v1: what a paired device may call.

import type { ConnectRouter } from '@connectrpc/connect';
import type { IdentityManager } from '@palyra/identity';
import { callingDevice, NodeService } from '@palyra/rpc';

export function nodeRoutes(identity: IdentityManager) {
  return (router: ConnectRouter): void => {
    router.service(NodeService, {
      async register(request, context) {
        await identity.registerDevice(callingDevice(context).deviceId, request);
        return {};
      },
      async status(_request, context) {
        const { deviceId, serial } = callingDevice(context);
        const [device, certificate] = await Promise.all([
          identity.registry.device(deviceId),
          identity.registry.certificate({ serial }),
        ]);
        return {
          daemonId: identity.daemonId,
          trustDomain: identity.trustDomain,
          deviceId,
          deviceName: device?.name ?? '',
          serial,
          certificateNotAfterMs: BigInt(certificate?.notAfter.getTime() ?? 0),
          daemonTimeMs: BigInt(identity.clock.now().getTime()),
        };
      },
    });
  };
}
