// handshake.*: the cost that the node listener adds to a mutual TLS handshake.

import { connect, createSecureContext, type SecureContext, type TLSSocket } from 'node:tls';
import { certificatesToPem, TlsKey } from '@palyra/identity/certificate';
import type { PairedEnrollment } from '@palyra/identity/device';
import type { Figures, Progress } from './measure.ts';
import { type Load, ServerProcess } from './server-process.ts';

const handshakes = 100;
const lanes = 8;

export async function handshake(progress: Progress): Promise<Figures> {
  progress('mutual TLS handshakes on the node listener against a bare TLS server');
  await using servers = await ServerProcess.start();
  const { ports, device } = servers.ready;
  const secureContext = contextOf(device);
  const open: TLSSocket[] = [];
  const load = (port: number): Load => ({
    run: async () => {
      const lane = async () => {
        while (open.length < handshakes) await oneHandshake(port, device.trustDomain, secureContext, open);
      };
      await Promise.all(Array.from({ length: lanes }, lane));
    },
    after: () => {
      for (const socket of open.splice(0)) socket.destroy();
    },
  });
  const share = await servers.share(
    { first: load(ports.node), second: load(ports.bare) },
    { rounds: 60, warmUp: 10, calls: handshakes },
  );
  return {
    'handshake.share_of_bare': {
      value: share.value,
      spread: share.spread,
      target: { atLeast: 0.92 },
      unit: 'ratio',
      meaning:
        'Full mutual TLS handshakes per second on the node listener (HTTP/2 session and registry check included), over ' +
        'those of a bare TLS server with the same certificates. One client process, 8 at a time, each done when the ' +
        'first bytes of the server arrive.',
      parts: {
        node_per_second: share.perSecond.first,
        bare_per_second: share.perSecond.second,
        share_by_processor_time: share.cpuShare,
        node_processor_us: share.cpuUs.first,
        bare_processor_us: share.cpuUs.second,
      },
      whenMissed:
        'The listener also makes an HTTP/2 session and sends its settings, reads the certificate, and asks the registry ' +
        'twice (standing, last seen).',
    },
  };
}

export function contextOf(device: PairedEnrollment): SecureContext {
  return createSecureContext({
    ca: certificatesToPem(device.trustBundle),
    cert: certificatesToPem(device.certificateChain),
    key: TlsKey.fromPkcs8(device.tlsKey).toPem(),
    minVersion: 'TLSv1.3',
  });
}

/** Ends with the server's first bytes: by then, it has verified this side's certificate. */
export function oneHandshake(
  port: number,
  servername: string,
  secureContext: SecureContext,
  open: TLSSocket[],
): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port, servername, secureContext, ALPNProtocols: ['h2'] });
    open.push(socket);
    socket.once('error', reject);
    socket.once('data', () => resolve());
  });
}
