// Mutual TLS in which OpenSSL refuses a peer without a certificate, and the listener judges every certificate itself.
//
// Only `rejectUnauthorized: true` makes OpenSSL end a handshake without a certificate by the alert certificate_required
// (RFC 8446 6.2). But with that option Node also silently destroys the socket of every peer whose chain OpenSSL rejects, once the
// handshake is done, so an expired device would get no typed answer. This file disables that second effect for each
// socket. Node lets every other handshake finish, so no option sends an alert for a foreign certificate
// (tests/connections/required-certificate.test.ts shows it).

import { Socket } from 'node:net';
import { TLSSocket, type TlsOptions } from 'node:tls';

/** Node's private fields of a server's TLS socket. `expectNodeAsKnown` checks all of them. */
interface NodeTlsSocket {
  /** Whether Node destroys the socket after the handshake when OpenSSL rejects the peer's chain. */
  _rejectUnauthorized: boolean;
  readonly ssl: {
    readStop(): void;
    /** Calls the callback of the options. @returns the position of the chosen protocol in the client's offer. */
    ALPNCallback(offered: Buffer): number | undefined;
  };
}

/**
 * Options of a TLS server. Its 'secureConnection' comes for every peer that showed a certificate, good or not, with Node's
 * `authorized` and `authorizationError`. A client that offers no protocol meets Node's strict behaviour.
 * @param onMissing called for a peer without a certificate. OpenSSL has sent the alert; the socket stays open for the peer to
 *   read it, and nothing more is read from the peer. Whoever destroys the socket then causes the 'tlsClientError'.
 * @throws TypeError when this version of Node works differently.
 */
export function requireCertificate(onMissing: (socket: TLSSocket) => void) {
  const options = {
    requestCert: true,
    rejectUnauthorized: true,
    // Node calls it as a method of the TLS socket, at the ClientHello. Nothing else hands out the socket so early.
    ALPNCallback(this: unknown, { protocols }: { readonly protocols: readonly string[] }) {
      if (!(this instanceof TLSSocket)) throw changed();
      keepOpenAfterHandshake(this);
      keepOpenAfterAlert(this, onMissing);
      return protocols.includes('h2') ? 'h2' : undefined;
    },
  } satisfies TlsOptions;
  expectNodeAsKnown(options);
  return options;
}

/** Whether the handshake failed because the peer sent no certificate. */
export function showedNoCertificate(error: NodeJS.ErrnoException): boolean {
  return error.code === 'ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE';
}

function keepOpenAfterHandshake(socket: TLSSocket): void {
  ownOf(socket)._rejectUnauthorized = false;
}

/**
 * Node destroys the socket as soon as the alert is sent. If the peer has sent bytes by then, such as the preface of HTTP/2,
 * the system resets the connection, and a peer that writes before it reads never sees the alert (curl: two times of three).
 */
function keepOpenAfterAlert(socket: TLSSocket, onMissing: (socket: TLSSocket) => void): void {
  let reason: Error | undefined;
  socket.destroy = (error) => {
    if (!reason && error && showedNoCertificate(error)) {
      reason = error;
      ownOf(socket).ssl.readStop();
      onMissing(socket);
      return socket;
    }
    return TLSSocket.prototype.destroy.call(socket, reason ?? error) as TLSSocket;
  };
}

function expectNodeAsKnown(options: TlsOptions): void {
  const socket = new TLSSocket(new Socket(), { ...options, isServer: true });
  const own = ownOf(socket);
  const before = own._rejectUnauthorized;
  const place = own.ssl?.ALPNCallback?.(Buffer.from('\x02h2'));
  const isKnown =
    before === true &&
    place === 0 &&
    own._rejectUnauthorized === false &&
    typeof own.ssl.readStop === 'function';
  socket.destroy();
  if (!isKnown) throw changed();
}

const ownOf = (socket: TLSSocket) => socket as unknown as NodeTlsSocket;
const changed = () =>
  new TypeError('this version of Node checks the certificates of TLS clients in another way');
