// A GOAWAY tells a client why the daemon closes the connection. The daemon sends it on a separate stream before the close. The
// client reads a GOAWAY at once, while its library may report the close only when the connection has drained (RFC 9000 10.2.2).
// docs/quic.md section 2.

import { IdentityError } from '@palyra/identity';
import { maxReasonBytes, toCloseNumber, toCloseReason } from '@palyra/rpc/portable';

const numberBytes = 4;
export const maxGoawayBytes = numberBytes + maxReasonBytes;

export function encodeGoaway(error: IdentityError): Uint8Array {
  const number = Buffer.alloc(numberBytes);
  number.writeUInt32BE(toCloseNumber(error.code));
  return Buffer.concat([number, Buffer.from(toCloseReason(error.message))]);
}

/** @throws MESSAGE_INVALID */
export function decodeGoaway(bytes: Buffer): { errorCode: number; reason: string } {
  if (bytes.length < numberBytes || bytes.length > maxGoawayBytes) throw goawayInvalid();
  return { errorCode: bytes.readUInt32BE(), reason: bytes.toString('utf8', numberBytes) };
}

export function goawayInvalid(): IdentityError {
  return new IdentityError(
    'MESSAGE_INVALID',
    'The server opened a stream and sent something other than a GOAWAY.',
  );
}
