// The operator's connection to the daemon of another machine, over mutual TLS from this device.

import { dialNode, type Http2Connection } from '@palyra/rpc';
import { defaultHttp2Limits } from '@palyra/rpc/transport';
import { nodePort, parseAddress } from './address.ts';
import type { Cli } from './cli.ts';
import { reachDaemon } from './device-connection.ts';
import { pairedEnrollment } from './device-store.ts';
import type { Remote } from './remote.ts';

/** Room for a page of a thousand devices, each with as many capabilities and names as the limits allow. */
const answerBytes = 16 * defaultHttp2Limits.messageBytes;

export async function dialRemote(cli: Cli, { daemon, address }: Remote): Promise<Http2Connection> {
  const enrollment = await pairedEnrollment(cli, daemon, '--remote-daemon');
  const options = { readMaxBytes: answerBytes };
  if (address === undefined) return reachDaemon(enrollment, options);
  return dialNode(parseAddress(address, nodePort), enrollment, options);
}
