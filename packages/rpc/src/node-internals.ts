// The places where this package goes beyond Node's public interface, except for the certificates of TLS servers
// (http2/required-certificate.ts) and the bodies of requests (calls/request-body.ts). Each place is checked when a listener is
// made, so a version of Node that works differently fails there instead of silently.

import type { EventEmitter } from 'node:events';
import { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';

/**
 * Removes Node's own listener from a server, so that we can call it after our own code.
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

/** The socket below a TLS socket, which Node keeps private. */
export function socketBelow(socket: TLSSocket): Socket | undefined {
  const below = '_parent' in socket ? socket._parent : undefined;
  return below instanceof Socket ? below : undefined;
}

/**
 * @param make makes a TLS socket on another socket, as Node does.
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
