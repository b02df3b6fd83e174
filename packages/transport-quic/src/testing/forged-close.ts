// An attacker on the path who answers the start of a handshake with a close. The keys of Initial packets derive from public
// values (RFC 9001 5.2), so anyone can forge these packets.

import { createCipheriv, createHmac } from 'node:crypto';
import { createSocket } from 'node:dgram';

const initialSalt = Buffer.from('38762cf7f55934b34d179ae6a4c80cadccbb7f0a', 'hex');

/** @returns a port that answers every first packet with this close. */
export async function forgeCloses(
  errorCode: number,
  reason: string,
): Promise<{ readonly port: number; close(): void }> {
  const socket = createSocket('udp4');
  socket.on('message', (packet, from) => {
    // RFC 9000 17.2: the client's choice of the server's connection id, then its own, each behind its length.
    const own = 6 + packet[5]!;
    const serverId = packet.subarray(6, own);
    const clientId = packet.subarray(own + 1, own + 1 + packet[own]!);
    socket.send(closePacket(serverId, clientId, errorCode, reason), from.port, from.address);
  });
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));
  return { port: socket.address().port, close: () => socket.close() };
}

function closePacket(serverId: Buffer, clientId: Buffer, errorCode: number, reason: string): Buffer {
  const secret = expand(hmac(initialSalt, serverId), 'server in', 32);
  // CONNECTION_CLOSE of the transport, caused by no frame, then PADDING.
  const frames = Buffer.alloc(1100);
  frames[0] = 0x1c;
  // A variable-length integer of eight bytes.
  frames[1] = 0xc0;
  frames.writeUInt32BE(errorCode, 5);
  frames[10] = reason.length;
  frames.write(reason, 11);
  const length = Buffer.alloc(2);
  length.writeUInt16BE(0x4000 | (4 + frames.length + 16));
  const header = Buffer.concat([
    Buffer.from([0xc3, 0, 0, 0, 1, clientId.length]),
    clientId,
    Buffer.from([1, 0x07, 0]),
    length,
    Buffer.alloc(4),
  ]);
  const cipher = createCipheriv(
    'aes-128-gcm',
    expand(secret, 'quic key', 16),
    expand(secret, 'quic iv', 12),
  ).setAAD(header);
  const body = Buffer.concat([cipher.update(frames), cipher.final(), cipher.getAuthTag()]);
  const mask = createCipheriv('aes-128-ecb', expand(secret, 'quic hp', 16), null).update(
    body.subarray(0, 16),
  );
  header[0]! ^= mask[0]! & 0x0f;
  for (let at = 0; at < 4; at += 1) header[header.length - 4 + at]! ^= mask[1 + at]!;
  return Buffer.concat([header, body]);
}

/** HKDF-Expand-Label (RFC 8446 7.1), for at most 32 bytes. */
function expand(secret: Buffer, label: string, length: number): Buffer {
  const name = `tls13 ${label}`;
  const info = Buffer.concat([Buffer.from([0, length, name.length]), Buffer.from(name), Buffer.from([0, 1])]);
  return hmac(secret, info).subarray(0, length);
}

const hmac = (key: Buffer, data: Buffer) => createHmac('sha256', key).update(data).digest();
