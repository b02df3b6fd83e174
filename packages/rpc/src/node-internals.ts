// Where this package goes beyond the public face of Node, but for what TLS servers do with certificates
// (http2/required-certificate.ts) and with the bodies of requests (calls/request-body.ts). Each place is looked at when a listener is made, so a version of Node that works otherwise
// fails there and not in silence.

import type { EventEmitter } from 'node:events';
import { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';

/**
 * Takes Node's own listener off a server, to be called when our turn is over.
 * @param event of `server`. Node itself must have exactly one listener for it.
 * @returns that listener.
 * @throws TypeError when this version of Node has none, or several.
 */
export function takeOver<Arguments extends unknown[]>(
  server: EventEmitter,
  event: 'connection' | 'secureConnection' | 'stream',
): (...args: Arguments) => void {
  const [inner, ...others] = server.listeners(event);
  if (!inner || others.length > 0)
    throw new TypeError(`this version of Node serves the event ${event} in another way`);
  server.removeAllListeners(event);
  return (...args) => {
    inner.apply(server, args);
  };
}

/** The socket that a TLS socket is on. Node keeps it to itself. */
export function socketBelow(socket: TLSSocket): Socket | undefined {
  const below = '_parent' in socket ? socket._parent : undefined;
  return below instanceof Socket ? below : undefined;
}

/**
 * @param make as Node makes a TLS socket on another.
 * @throws TypeError when this version of Node keeps the socket elsewhere.
 */
export function expectSocketBelow(
  make: (below: Socket) => TLSSocket = (below) => new TLSSocket(below),
): void {
  const below = new Socket();
  const above = make(below);
  const isKnown = socketBelow(above) === below;
  above.destroy();
  if (!isKnown) throw new TypeError('this version of Node hides the socket below TLS');
}
