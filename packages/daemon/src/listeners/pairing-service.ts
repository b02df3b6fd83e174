// palyra.pairing.v1 over the library's PairingResponder: decode, one call, encode.

import type { ConnectRouter } from '@connectrpc/connect';
import type { IdentityManager } from '@palyra/identity';
import type { EndpointLists } from '@palyra/identity/values';
import { PairingService } from '@palyra/rpc';
import { deviceKinds, pairingStates } from '@palyra/rpc/admin';
import { knownWord, pairingChannel, throwIfBrokenOff } from '@palyra/rpc/transport';
import { toWireEndpoints, toWireRenewal } from './node-service.ts';
import type { OpenLimit } from './open-limit.ts';

export interface PairingServiceOptions {
  readonly identity: IdentityManager;
  readonly openLimit: OpenLimit;
  readonly nodePort: () => number;
  /** 0 if the daemon does not serve QUIC. */
  readonly quicPort: () => number;
  /** Those that devices get now. */
  readonly endpoints: () => Promise<EndpointLists>;
  /** Ends endless calls. */
  readonly stopping: AbortSignal;
}

export function pairingRoutes(options: PairingServiceOptions) {
  const { identity, openLimit, nodePort, quicPort, endpoints, stopping } = options;
  const { responder } = identity;
  return (router: ConnectRouter): void => {
    router.service(PairingService, {
      async open(request, context) {
        const channel = pairingChannel(context);
        await openLimit.take(channel.source);
        const kind = knownWord('A device kind', deviceKinds, request.clientKind);
        const reply = await responder.open(channel, { ...request, kind });
        return { ...reply, expiresAtMs: BigInt(reply.expiresAt.getTime()) };
      },
      exchange: (request, context) => responder.exchange(pairingChannel(context), request),
      confirm: (request, context) => responder.confirm(pairingChannel(context), request),
      async challenge(_request, context) {
        const channel = pairingChannel(context);
        await openLimit.take(channel.source);
        return { challenge: identity.renewals.challenge(channel) };
      },
      recover: async (request, context) =>
        toWireRenewal(await identity.renewals.recover(pairingChannel(context), request), await endpoints()),
      async *await(request, context) {
        const signal = AbortSignal.any([context.signal, stopping]);
        for await (const update of responder.await(pairingChannel(context), request, signal)) {
          const isIssued = update.certificateChain.length > 0;
          yield {
            state: pairingStates.toWire(update.state),
            expiresAtMs: BigInt(update.expiresAt?.getTime() ?? 0),
            reason: update.reason ?? '',
            certificateChain: [...update.certificateChain],
            trustBundle: [...update.trustBundle],
            renewAfterMs: update.renewAfterMs ?? 0,
            ...(isIssued && {
              nodePort: nodePort(),
              quicPort: quicPort(),
              endpoints: toWireEndpoints(await endpoints()),
            }),
          };
        }
        // The daemon or the call's deadline broke the call off. This must not look like a decision.
        throwIfBrokenOff(signal);
      },
    });
  };
}
