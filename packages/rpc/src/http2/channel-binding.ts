import type { TLSSocket } from 'node:tls';

/** RFC 9266: 32 bytes bound to this very TLS channel, equal on both its ends and nowhere else. */
export function exportChannelBinding(socket: TLSSocket): Uint8Array {
  return new Uint8Array(socket.exportKeyingMaterial(32, 'EXPORTER-Channel-Binding', Buffer.alloc(0)));
}
