// The registry's tables as types for Kysely. Instants are milliseconds since 1970; hex, ULIDs and enumerations are
// text.

export interface Tables {
  readonly devices: DevicesTable;
  readonly certificates: CertificatesTable;
  readonly pairings: PairingsTable;
  readonly revocations: RevocationsTable;
  readonly authorities: AuthoritiesTable;
  readonly audit: AuditTable;
  readonly settings: SettingsTable;
  readonly ledger: LedgerTable;
}

export interface DevicesTable {
  readonly id: string;
  readonly identity_key: Uint8Array;
  readonly name: string;
  /** The name in the form that `search` compares, because databases fold case differently. */
  readonly name_folded: string;
  readonly kind: string;
  readonly platform: string;
  readonly role: string;
  readonly state: string;
  readonly created_at: number;
  readonly last_seen_at: number | null;
  /** A JSON list of strings. */
  readonly capabilities: string;
  /** A JSON list of strings. */
  readonly host_names: string;
  /** A JSON list of strings. */
  readonly labels: string;
  readonly revocation_reason: string | null;
  readonly clone_seen_at: number | null;
  readonly clone_reported_at: number | null;
  readonly certificate_revoked_at: number | null;
  readonly recovery_asked_at: number | null;
  readonly recovery_released_at: number | null;
}

export interface CertificatesTable {
  readonly serial: string;
  readonly fingerprint: string;
  readonly key_sha256: Uint8Array;
  readonly subject_kind: string;
  readonly subject_id: string;
  readonly state: string;
  readonly not_before: number;
  readonly not_after: number;
  readonly issuer_id: string;
  readonly created_at: number;
  readonly renew_at: number | null;
  readonly der: Uint8Array;
  /** 0 or 1. */
  readonly recovered: number;
}

/** rows/pairing.ts lists the nullable columns that each state fills. */
export interface PairingsTable {
  readonly id: string;
  readonly revision: number;
  readonly state: string;
  readonly code_kind: string;
  readonly slot: string;
  readonly created_at: number;
  readonly auto_approved_by: string | null;
  readonly guesses_left: number;
  readonly guesses_taken: number;
  readonly expires_at: number | null;
  readonly sealed_secret: Uint8Array | null;
  readonly serial: string | null;
  readonly reason: string | null;
  readonly device_id: string | null;
  readonly identity_key: Uint8Array | null;
  readonly tls_key: Uint8Array | null;
  readonly name: string | null;
  readonly kind: string | null;
  readonly platform: string | null;
  readonly words: string | null;
  readonly source: string | null;
  readonly continuity: string | null;
  readonly failed_guesses: number | null;
  readonly sealed_await_key: Uint8Array | null;
}

export interface RevocationsTable {
  readonly at: number;
  readonly device_id: string;
  readonly serial: string | null;
  readonly reason: string;
}

export interface AuthoritiesTable {
  readonly id: string;
  readonly tier: string;
  readonly state: string;
  readonly serial: string;
  readonly fingerprint: string;
  readonly not_before: number;
  readonly not_after: number;
  readonly der: Uint8Array;
}

export interface AuditTable {
  readonly seq: number;
  readonly at: number;
  readonly action: string;
  readonly subject: string;
  readonly detail_json: string;
  readonly previous_hash: string;
  readonly hash: string;
}

export interface SettingsTable {
  readonly name: string;
  readonly value: string;
}

/** One row, with id 1: facts that must be available without a scan. */
export interface LedgerTable {
  readonly id: number;
  readonly devices: number;
  readonly audit_seq: number;
  readonly audit_hash: string;
}
