// rpc.*: the cost of the checks of every call.

import http2 from 'node:http2';
import { certificatesToPem, TlsKey } from '@palyra/identity/certificate';
import type { PairedEnrollment } from '@palyra/identity/device';
import type { Figures, Progress } from './measure.ts';
import { ServerProcess } from './server-process.ts';

export const calls = 1024;
const inFlight = 64;
/** More calls than one device may have on one connection, so that several connections are needed. */
const connections = 2;

export async function rpc(progress: Progress): Promise<Figures> {
  progress('calls with access table and registry check against calls without');
  await using servers = await ServerProcess.start();
  const { ports, device } = servers.ready;
  const dials = (port: number) => dialBare(`127.0.0.1:${port}`, device);
  const [node, unchecked] = [dials(ports.node), dials(ports.unchecked)];
  const share = await servers.share(
    { first: { run: () => manyCalls(node) }, second: { run: () => manyCalls(unchecked) } },
    { rounds: 100, warmUp: 30, calls },
  );
  for (const session of [...node, ...unchecked]) session.destroy();
  return {
    'rpc.share_of_unchecked': {
      value: share.value,
      spread: share.spread,
      target: { atLeast: 0.9 },
      unit: 'ratio',
      meaning:
        'Calls of NodeService.Status per second on the node listener, over the same services without access table and ' +
        `registry check. The handler does next to nothing; one client process, ${inFlight} calls in flight on ` +
        `${connections} connections.`,
      parts: {
        node_per_second: share.perSecond.first,
        unchecked_per_second: share.perSecond.second,
        share_by_processor_time: share.cpuShare,
        node_processor_us: share.cpuUs.first,
        unchecked_processor_us: share.cpuUs.second,
      },
    },
  };
}

/** Connections of a device, without our client. */
export function dialBare(address: string, device: PairedEnrollment): http2.ClientHttp2Session[] {
  const dial = () =>
    http2.connect(`https://${address}`, {
      ca: certificatesToPem(device.trustBundle),
      cert: certificatesToPem(device.certificateChain),
      key: TlsKey.fromPkcs8(device.tlsKey).toPem(),
      servername: device.trustDomain,
    });
  return Array.from({ length: connections }, dial);
}

/** Many calls, 64 in flight. */
export async function manyCalls(sessions: readonly http2.ClientHttp2Session[]): Promise<void> {
  let left = calls;
  const lane = async (_: unknown, number: number) => {
    while (left > 0) {
      left -= 1;
      await oneCall(sessions[number % connections]!);
    }
  };
  await Promise.all(Array.from({ length: inFlight }, lane));
}

/** An empty gRPC message: not compressed, 0 bytes. */
const emptyMessage = Buffer.alloc(5);

/** gRPC without a client library, so that the servers are the bottleneck. */
function oneCall(session: http2.ClientHttp2Session): Promise<void> {
  return new Promise((resolve, reject) => {
    const stream = session.request({
      ':method': 'POST',
      ':path': '/palyra.node.v1.NodeService/Status',
      'content-type': 'application/grpc+proto',
      te: 'trailers',
    });
    let bytes = 0;
    let status: unknown;
    stream.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
    });
    stream.once('trailers', (trailers) => {
      status = trailers['grpc-status'];
    });
    stream.once('error', reject);
    stream.once('end', () => {
      if (status === '0' && bytes > emptyMessage.length) resolve();
      else reject(new Error(`a call ended with gRPC status ${status} and ${bytes} bytes`));
    });
    stream.end(emptyMessage);
  });
}
