// The device's pairing calls, over the network. Each call with an immediate answer has a deadline, so a daemon that stalls does
// not block the device.

import { createClient, type Transport } from '@connectrpc/connect';
import type { PairingPeer, RecoveryPeer } from '@palyra/identity/device';
import { IdentityError } from '@palyra/identity/portable';
import { deviceKinds, pairingStates } from '../device-enums.ts';
import { fromConnectError } from '../error-map.ts';
import { PairingService } from '../gen/palyra/pairing/v1/pairing_pb.js';
import { knownWord } from '../known-word.ts';

/** A connection to the pairing services, of any transport. */
export interface PairingCalls {
  readonly transport: Transport;
  readonly channelBinding: Uint8Array;
}

/** Time for the daemon to answer one call, ms. */
const callTimeoutMs = 15_000;

/** @param timeoutMs for each call except `await`. */
export function pairingPeer(
  connection: PairingCalls & Pick<PairingPeer, 'isKnownDaemon'>,
  timeoutMs = callTimeoutMs,
): PairingPeer {
  const soon = { timeoutMs };
  const client = createClient(PairingService, connection.transport);
  return {
    channelBinding: connection.channelBinding,
    isKnownDaemon: connection.isKnownDaemon,
    async open({ version, slot, kind }) {
      const clientKind = deviceKinds.toWire(kind);
      const reply = await client.open({ version, slot, clientKind }, soon).catch(rethrow);
      return { ...reply, expiresAt: instant(reply.expiresAtMs) };
    },
    exchange: (request) => client.exchange(request, soon).catch(rethrow),
    confirm: (request) => client.confirm(request, soon).catch(rethrow),
    async *await(request, signal) {
      for await (const update of withOurErrors(client.await(request, { signal }))) {
        yield {
          state: knownWord('The state of a pairing', pairingStates, update.state),
          expiresAt: update.expiresAtMs > 0n ? instant(update.expiresAtMs) : undefined,
          reason: update.reason || undefined,
          certificateChain: update.certificateChain,
          trustBundle: update.trustBundle,
          nodePort: update.nodePort || undefined,
          quicPort: update.quicPort || undefined,
          endpoints: update.endpoints,
          renewAfterMs: update.renewAfterMs,
        };
      }
    },
  };
}

/** The two calls of a recovery. They need a connection that was dialled to a known daemon. */
export function recoveryPeer(connection: PairingCalls, timeoutMs = callTimeoutMs): RecoveryPeer {
  const soon = { timeoutMs };
  const client = createClient(PairingService, connection.transport);
  return {
    channelBinding: connection.channelBinding,
    challenge: async () => (await client.challenge({}, soon).catch(rethrow)).challenge,
    recover: (request) => client.recover(request, soon).catch(rethrow),
  };
}

/** @throws MESSAGE_INVALID */
function instant(ms: bigint): Date {
  const date = new Date(Number(ms));
  if (!Number.isNaN(date.getTime())) return date;
  throw new IdentityError(
    'MESSAGE_INVALID',
    "The daemon's answer cannot be read: it contains an invalid time.",
  );
}

function rethrow(error: unknown): never {
  throw fromConnectError(error);
}

async function* withOurErrors<T>(messages: AsyncIterable<T>): AsyncIterable<T> {
  try {
    yield* messages;
  } catch (error) {
    throw fromConnectError(error);
  }
}
