import type { TLSSocket } from 'node:tls';

/** RFC 9266: 32 bytes that identify this TLS channel. Both ends compute the same value, and no other channel has it. */
export function exportChannelBinding(socket: TLSSocket): Uint8Array {
  return new Uint8Array(socket.exportKeyingMaterial(32, 'EXPORTER-Channel-Binding', Buffer.alloc(0)));
}
