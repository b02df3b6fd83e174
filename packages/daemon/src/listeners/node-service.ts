// palyra.node.v1, the service for paired devices.

import type { ConnectRouter } from '@connectrpc/connect';
import { IdentityError, type IdentityManager } from '@palyra/identity';
import { renewAfterMs } from '@palyra/identity/device';
import type { RenewalReply } from '@palyra/identity/pairing';
import type { EndpointLists } from '@palyra/identity/values';
import { callingDevice, type DeviceEvent, NodeService } from '@palyra/rpc';
import { cameOver, throwIfBrokenOff } from '@palyra/rpc/transport';
import type { DeviceAnswer, DeviceChannels } from '../channels/device-channels.ts';

/** Far below the limit of exact integers, and more events than any channel has. */
const maxLastSeq = 2n ** 48n;

/** @param endpoints those that devices get now. */
export function nodeRoutes(
  identity: IdentityManager,
  channels: DeviceChannels,
  endpoints: () => Promise<EndpointLists>,
) {
  return (router: ConnectRouter): void => {
    router.service(NodeService, {
      async register(request, context) {
        await identity.registerDevice(callingDevice(context).deviceId, request);
        return {};
      },
      renew: async (request, context) =>
        toWireRenewal(await identity.renewals.renew(callingDevice(context), request), await endpoints()),
      async *events(incoming, context) {
        const caller = callingDevice(context);
        const events = incoming[Symbol.asyncIterator]();
        const first = (await events.next()).value?.event;
        if (
          first?.case !== 'hello' ||
          first.value.agentId.length !== 16 ||
          first.value.lastSeq > maxLastSeq
        ) {
          throw new IdentityError(
            'MESSAGE_INVALID',
            'The first event must be a hello with an agent id of 16 bytes and the last event number that the agent has seen.',
          );
        }
        const { transport, source, origin } = cameOver(context);
        const onSecondAgent = () => identity.sawSecondAgent(caller, source);
        const options = {
          transport,
          origin,
          signal: context.signal,
          onSecondAgent,
          endpoints: toWireEndpoints(await endpoints()),
          serial: caller.serial,
          renewAtMs: caller.renewAtMs,
        };
        yield* channels.serve(caller.deviceId, first.value, answersOf(events), options);
        throwIfBrokenOff(context.signal);
      },
      status(_request, context) {
        const { deviceId, name, serial, notAfterMs, renewAtMs } = callingDevice(context);
        const nowMs = identity.clock.now().getTime();
        return {
          daemonId: identity.daemonId,
          trustDomain: identity.trustDomain,
          deviceId,
          deviceName: name,
          serial,
          certificateNotAfterMs: BigInt(notAfterMs),
          daemonTimeMs: BigInt(nowMs),
          renewAfterMs: renewAfterMs(renewAtMs, nowMs),
        };
      },
    });
  };
}

export function toWireRenewal(
  { certificateChain, trustBundle, renewAfterMs = 0 }: RenewalReply,
  endpoints: EndpointLists,
) {
  return {
    certificateChain: [...certificateChain],
    trustBundle: [...trustBundle],
    renewAfterMs,
    endpoints: toWireEndpoints(endpoints),
  };
}

export function toWireEndpoints({ pairing, node, quic, web }: EndpointLists) {
  return { pairing: [...pairing], node: [...node], quic: [...quic], web: [...web] };
}

async function* answersOf(events: AsyncIterator<DeviceEvent>): AsyncIterable<DeviceAnswer> {
  for (let next = await events.next(); !next.done; next = await events.next()) {
    const { event } = next.value;
    if (event.case !== 'result' && event.case !== 'alive') {
      throw new IdentityError('MESSAGE_INVALID', 'After its hello, a device may send only answers.');
    }
    yield event;
  }
}
