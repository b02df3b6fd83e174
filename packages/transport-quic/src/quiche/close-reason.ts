// Why a connection ended, from the number and the text the library gives: one of our codes, a TLS alert
// (RFC 9001 4.8), or its own words for silence.

import type { X509Certificate } from 'node:crypto';
import { IdentityError, type IdentityErrorCode } from '@palyra/identity';
import { closedNormally, closeErrorOf } from '@palyra/rpc/transport';

export interface LibraryClose {
  readonly errorCode: number;
  readonly reason: string;
}

/** TLS alerts (RFC 8446 6) that say what is wrong with the certificate of this side. */
const missing = ['CERTIFICATE_MISSING', 'The daemon requires a certificate.'] as const;
const alerts: Readonly<Record<number, readonly [IdentityErrorCode, string]>> = {
  42: ['CERTIFICATE_INVALID', 'The daemon could not accept the form of this certificate.'],
  44: ['CERTIFICATE_REVOKED', 'This certificate is revoked.'],
  48: ['CERTIFICATE_UNKNOWN', 'The daemon did not issue this certificate.'],
  116: missing,
};

const badCertificate = 42;
const certificateExpired = 45;
const accessDenied = 49;
const noApplicationProtocol = 120;

/**
 * After the handshake; undefined when a side simply closed.
 * @param own the certificate of this side.
 */
export function closeReason(
  { errorCode, reason }: LibraryClose,
  own?: X509Certificate,
): IdentityError | undefined {
  const ours = closeErrorOf(errorCode, reason);
  if (ours) return ours;
  if (errorCode === closedNormally) {
    return reason === 'idle timeout'
      ? new IdentityError('UNREACHABLE', 'Nothing was heard from the other side for too long.')
      : undefined;
  }
  // The library closes with the bare crypto error and these words, not with the alert.
  if (reason === 'client certificate required') return new IdentityError(...missing);
  if (errorCode - 0x100 === certificateExpired) return datesRefused(own);
  const alert = alerts[errorCode - 0x100];
  if (alert) return new IdentityError(...alert);
  return new IdentityError('UNREACHABLE', `QUIC error 0x${errorCode.toString(16)}.`);
}

/** The library's one word for a certificate that has expired and for one that is not valid yet; this side's clock says which. */
function datesRefused(own: X509Certificate | undefined): IdentityError {
  const now = new Date();
  const at = `this machine's clock says ${now.toISOString()}`;
  if (own && now >= own.validToDate)
    return new IdentityError('CERTIFICATE_EXPIRED', `This certificate has expired: ${at}.`);
  if (own && now < own.validFromDate) {
    return new IdentityError(
      'CERTIFICATE_NOT_YET_VALID',
      `This certificate is not valid yet: ${at}. Compare the clocks of daemon and device.`,
    );
  }
  return new IdentityError(
    'CLOCK_SKEW',
    `The other side's clock is outside the dates of this certificate, and ${at}: one of the two is wrong. Set it right.`,
  );
}

/** When the library could not even start with the certificates it was given. */
export function tlsConfigError(cause: unknown): IdentityError | undefined {
  if (!(cause instanceof Error) || !/TlsFail|TLS (?:cert|key)/.test(cause.message)) return undefined;
  return new IdentityError(
    'CERTIFICATE_INVALID',
    'The certificate chain, its key or the root cannot be used.',
    {
      cause,
    },
  );
}

/**
 * Why the client's handshake did not come to its end. Alerts about certificates are then the client's own. Anything else
 * that a close says is not believed: until the handshake is done, whoever is on the path can write one.
 */
export function dialError(close: LibraryClose | undefined, cause: unknown): IdentityError {
  const alert = (close?.errorCode ?? 0) - 0x100;
  if (alert === noApplicationProtocol) {
    return new IdentityError('VERSION_UNSUPPORTED', 'The server does not speak this protocol.', { cause });
  }
  // The library stops at an authority that has expired, before it looks at the signature below it: an impostor comes with
  // an old issuing CA of ours and is `expired`. So that word tells nothing about clocks.
  if (alert >= badCertificate && alert <= accessDenied) {
    return new IdentityError(
      'DAEMON_NOT_AUTHENTICATED',
      "The server there is not this daemon, or its certificate is not valid at this device's time.",
      { cause },
    );
  }
  return tlsConfigError(cause) ?? new IdentityError('UNREACHABLE', 'No answer over QUIC.', { cause });
}

const lostAfterMs = 4_000;

/**
 * Why a connection is gone, when a stream of it has failed: the close is on its way, unless the library lost it.
 * @param closed of the connection.
 */
export async function lossOf(closed: Promise<IdentityError | undefined>): Promise<IdentityError> {
  const unknown = Promise.withResolvers<undefined>();
  const timer = setTimeout(unknown.resolve, lostAfterMs, undefined).unref();
  const reason = await Promise.race([closed, unknown.promise]);
  clearTimeout(timer);
  return reason ?? connectionGone();
}

export function connectionGone(): IdentityError {
  return new IdentityError('UNREACHABLE', 'The connection is gone.');
}
