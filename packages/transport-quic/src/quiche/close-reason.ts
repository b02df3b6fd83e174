// Finds out why a connection ended, from the number and text that the library reports: one of our codes, a TLS alert
// (RFC 9001 4.8), or the library's text for a timeout.

import type { X509Certificate } from 'node:crypto';
import { IdentityError, type IdentityErrorCode } from '@palyra/identity';
import { afterRefusal } from '@palyra/identity/device';
import { closedNormally, closeErrorOf } from '@palyra/rpc/portable';

export interface LibraryClose {
  readonly errorCode: number;
  readonly reason: string;
}

/** TLS alerts (RFC 8446 6) about this side's certificate. */
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
 * The reason for a close after the handshake; undefined when a side closed without an error. A close is not sealed, so it may have
 * been meant for another connection (sealed.ts). A code for which a device ends or recovers its certificate counts only in a
 * GOAWAY or in the answer of a call.
 * @param own this side's certificate.
 */
export function closeReason(
  { errorCode, reason }: LibraryClose,
  own?: X509Certificate,
): IdentityError | undefined {
  const ours = closeErrorOf(errorCode, reason);
  if (ours) return afterRefusal(ours.code) === 'retry' ? ours : connectionGone();
  if (errorCode === closedNormally) {
    return reason === 'idle timeout'
      ? new IdentityError('UNREACHABLE', 'Nothing was heard from the other side for too long.')
      : undefined;
  }
  // The library closes with the bare crypto error and this text instead of the alert.
  if (reason === 'client certificate required') return new IdentityError(...missing);
  if (errorCode - 0x100 === certificateExpired) return datesRefused(own);
  const alert = alerts[errorCode - 0x100];
  if (alert) return new IdentityError(...alert);
  return new IdentityError('UNREACHABLE', `QUIC error 0x${errorCode.toString(16)}.`);
}

/** The library has one alert for expired certificates and for certificates not valid yet. This side's clock tells which. */
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
    `The other side's clock is outside the dates of this certificate, and ${at}. One of the two clocks is wrong. Correct it.`,
  );
}

/** The error when the library cannot start with the given certificates. */
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
 * Why the client's handshake failed. Alerts about certificates then come from the client itself. Any other reason in a close is
 * ignored, because anyone on the path can forge a close until the handshake is done.
 */
export function dialError(close: LibraryClose | undefined, cause: unknown): IdentityError {
  const alert = (close?.errorCode ?? 0) - 0x100;
  if (alert === noApplicationProtocol) {
    return new IdentityError('VERSION_UNSUPPORTED', 'The server does not speak this protocol.', { cause });
  }
  // The library stops at an expired authority before it checks the signature below. An impostor that shows an old issuing CA of
  // ours is therefore also reported as `expired`, so this alert does not mean that a clock is wrong.
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
 * Why a connection ended, when one of its streams has failed. The close follows soon, unless the library lost it.
 * @param closed the connection's `closed`.
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
