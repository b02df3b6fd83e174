// Every limit of pairing and certificates, with its default (docs/limits.md).

export interface PairingLimits {
  /** Guesses per code. */
  readonly guessesPerCode: number;
  /** Life of a code when its minting says nothing, ms. */
  readonly codeLifeMs: number;
  /** Shortest life that a minting may ask for, ms. */
  readonly codeLifeMinMs: number;
  /** Longest life that a minting may ask for, ms. */
  readonly codeLifeMaxMs: number;
  /** Codes that wait at one time. */
  readonly liveCodes: number;
  /** Life of a handshake session, from Open to Confirm, ms. */
  readonly sessionLifeMs: number;
  /** Handshake sessions at one time, dummies included. */
  readonly sessions: number;
  /** Requests that wait for the operator at one time. */
  readonly pendingRequests: number;
  /** How long a request waits for the operator, ms. */
  readonly requestLifeMs: number;
  /** How long an approved device may take to fetch its certificate, ms. */
  readonly collectLifeMs: number;
  /** Life of a device certificate, ms. */
  readonly deviceCertificateLifeMs: number;
  /** Certificates of one device that wait for their first use. */
  readonly unusedCertificates: number;
  /** How long after its last certificate's end a device may still recover without the operator, ms. */
  readonly recoveryOfflineMs: number;
  /** Recoveries of one device in 30 days, the operator's own apart. */
  readonly recoveries: number;
  /** How long the operator's word that a device may recover holds, ms. */
  readonly recoveryReleaseMs: number;
  /** How long after its replacement a certificate may still turn up without anything being wrong, ms. */
  readonly supersededGraceMs: number;
  /** A device that may have been copied is reported once in this time, ms. */
  readonly cloneReportMs: number;
}

const minute = 60_000;
const hour = 60 * minute;

/**
 * How far the clocks of the daemon, its devices and the programs that verify them may be apart, ms. The one tolerance: what
 * is compared with another clock, or dated for one, goes by it.
 */
export const clockToleranceMs = 10 * minute;
/** How long a revocation list is good, ms; it is made anew at half of it. */
export const revocationListLifeMs = 24 * hour;
/**
 * How long after its end a revoked certificate is listed, ms: on at least one list from after its end (RFC 5280 3.3), and
 * for programs whose clocks are behind.
 */
export const listedAfterEndMs = clockToleranceMs + revocationListLifeMs;

export const defaultPairingLimits: PairingLimits = {
  guessesPerCode: 3,
  codeLifeMs: 10 * minute,
  codeLifeMinMs: minute / 2,
  codeLifeMaxMs: 24 * hour,
  liveCodes: 32,
  sessionLifeMs: 2 * minute,
  sessions: 256,
  pendingRequests: 256,
  requestLifeMs: hour,
  collectLifeMs: 24 * hour,
  deviceCertificateLifeMs: 24 * hour,
  unusedCertificates: 8,
  recoveryOfflineMs: 30 * 24 * hour,
  recoveries: 100,
  recoveryReleaseMs: 24 * hour,
  supersededGraceMs: minute,
  cloneReportMs: 24 * hour,
};

/** Largest pairing message, bytes. */
export const MAX_PAIRING_MESSAGE_BYTES = 16 * 1024;
