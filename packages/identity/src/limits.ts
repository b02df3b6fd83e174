// Every limit of pairing and certificates, with its default (docs/limits.md).

export interface PairingLimits {
  /** Guesses per code. */
  readonly guessesPerCode: number;
  /** Default life of a code, ms. */
  readonly codeLifeMs: number;
  /** Shortest life of a code, ms. */
  readonly codeLifeMinMs: number;
  /** Longest life of a code, ms. */
  readonly codeLifeMaxMs: number;
  /** Unused codes at one time. */
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
  /** Unused certificates of one device. */
  readonly unusedCertificates: number;
  /** How long after the end of its last certificate a device may recover without the operator, ms. */
  readonly recoveryOfflineMs: number;
  /** Recoveries of one device in 30 days, not counting those that the operator released. */
  readonly recoveries: number;
  /** How long an operator's release for a recovery is valid, ms. */
  readonly recoveryReleaseMs: number;
  /** How long after its replacement a certificate may still be used without suspicion, ms. */
  readonly supersededGraceMs: number;
  /** Shortest time between two reports that one device may have been copied, ms. */
  readonly cloneReportMs: number;
}

const minute = 60_000;
const hour = 60 * minute;

/**
 * Largest difference between the clocks of the daemon, its devices and the programs that verify them, ms. The only
 * tolerance, for every comparison with another clock and every date made for one.
 */
export const clockToleranceMs = 10 * minute;
/** Shortest life of a certificate, ms: an issuer with less time left no longer issues. */
export const MIN_LIFE_MS = minute;
/** Validity of a revocation list, ms. A new one is made after half of it. */
export const revocationListLifeMs = 24 * hour;
/**
 * How long after its end a revoked certificate stays listed, ms: on at least one list made after its end (RFC 5280 3.3),
 * and long enough for programs whose clocks are behind.
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
