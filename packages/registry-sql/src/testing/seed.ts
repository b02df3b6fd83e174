// Fills a registry with devices for measurements: every device active, with one active certificate.

import { createHash } from 'node:crypto';
import { DatabaseSync, type SQLInputValue } from 'node:sqlite';
import type { AdmittedDevice } from '@palyra/identity/registry';
import { type DeviceId, makeUlid, type Ulid } from '@palyra/identity/values';
import { certificateRow } from '../rows/certificate.ts';
import { deviceRow } from '../rows/device.ts';
import { openSqliteRegistry } from '../sqlite/open.ts';

const DAY_MS = 24 * 60 * 60 * 1000;
/** Approximate size of a device certificate. */
const DER_BYTES = 600;
/** The device of the revoked certificates. */
const REVOKED_INDEX = 0;

export interface SeededDevice {
  readonly id: DeviceId;
  readonly serial: string;
  readonly fingerprint: string;
}

/** The name of device `index` (from 1) in a seeded registry. */
export function seededDevice(index: number): SeededDevice {
  const digest = createHash('sha256').update(`seeded device ${index}`).digest();
  return {
    id: makeUlid(new Date(1_700_000_000_000 + index), digest.subarray(0, 10)),
    serial: (2n ** 127n + BigInt(index)).toString(16),
    // As random as real fingerprints, so that their index has a realistic size and depth.
    fingerprint: digest.toString('hex'),
  };
}

/**
 * Adds devices 1 to `count` in one transaction, without waiting for the disk. The registry must
 * come from a daemon's first start, whose issuing CA the devices get, and must not be open.
 */
export async function seedDevices(registryPath: string, count: number): Promise<void> {
  const issuerId = await issuingOf(registryPath);
  const notBefore = new Date();

  const database = new DatabaseSync(registryPath, { enableForeignKeyConstraints: false });
  try {
    // SQLite can turn WAL into no journal only by way of a normal journal.
    database.exec('PRAGMA journal_mode = DELETE; PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF');
    database.exec('PRAGMA cache_size = -2000000; BEGIN');
    const rowsOf = (index: number) => seededRows(seededDevice(index), issuerId, notBefore);
    const insertDevice = inserter(database, 'devices', rowsOf(1).device);
    const insertCertificate = inserter(database, 'certificates', rowsOf(1).certificate);
    for (let index = 1; index <= count; index += 1) {
      const { device, certificate } = rowsOf(index);
      insertDevice(device);
      insertCertificate(certificate);
    }
    database.exec(`UPDATE ledger SET devices = devices + ${count}; COMMIT; PRAGMA journal_mode = WAL`);
  } finally {
    database.close();
  }
}

/** The rows of a seeded device and its certificate. */
export function seededRows(seeded: SeededDevice, issuerId: Ulid, notBefore: Date) {
  const { id, serial, fingerprint } = seeded;
  return {
    device: deviceRow(deviceOf(seeded, notBefore)),
    certificate: certificateRow({
      serial,
      fingerprint,
      keySha256: Buffer.from(fingerprint, 'hex'),
      subject: { kind: 'device', id },
      state: 'active',
      notBefore,
      notAfter: new Date(notBefore.getTime() + 30 * DAY_MS),
      issuerId,
      der,
      createdAt: notBefore,
      recovered: false,
      renewAt: undefined,
    }),
  };
}

const der = new Uint8Array(DER_BYTES);

/**
 * Adds revoked certificates of one revoked device, and their revocations, to a registry that may be open. Sends no
 * events.
 */
export function seedRevocations(
  registryPath: string,
  { issuerId, count, at, notAfter }: { issuerId: Ulid; count: number; at: Date; notAfter: Date },
): void {
  const device = seededDevice(REVOKED_INDEX);
  const database = new DatabaseSync(registryPath, { timeout: 10_000 });
  try {
    database.exec('PRAGMA cache_size = -500000; BEGIN IMMEDIATE');
    const { cloneSeenAt, cloneReportedAt, certificateRevokedAt, recovery, ...base } = deviceOf(device, at);
    const row = deviceRow({ ...base, state: 'revoked', revocationReason: 'seeded' });
    inserter(database, 'devices', row)(row);
    const values = { id: device.id, issuerId, at: at.getTime(), notAfter: notAfter.getTime() };
    // As random as real fingerprints.
    const serial = "'01' || lower(hex(randomblob(15)))";
    const makeCertificates = database.prepare(`
      INSERT INTO certificates (serial, fingerprint, subject_kind, subject_id, state, not_before, not_after, issuer_id,
        created_at, der, recovered, key_sha256)
      SELECT ${serial}, printf('%064x', value), 'device', $id, 'revoked', $at, $notAfter, $issuerId, $at, x'00', 0, randomblob(32)
      FROM (WITH RECURSIVE numbers(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM numbers WHERE value < $count)
        SELECT value FROM numbers)`);
    makeCertificates.run({ ...values, count });
    const makeRevocations = database.prepare(`
      INSERT INTO revocations (at, device_id, serial, reason)
      SELECT created_at, subject_id, serial, 'seeded' FROM certificates WHERE subject_id = $id`);
    makeRevocations.run({ id: device.id });
    database.exec('UPDATE ledger SET devices = devices + 1; COMMIT');
  } finally {
    database.close();
  }
}

async function issuingOf(registryPath: string): Promise<Ulid> {
  const registry = await openSqliteRegistry({ path: registryPath });
  try {
    const authorities = await registry.authorities();
    return authorities.find(({ tier }) => tier === 'issuing')!.id;
  } finally {
    await registry.close();
  }
}

function deviceOf({ id, fingerprint }: SeededDevice, createdAt: Date): AdmittedDevice {
  return {
    id,
    identityKey: Buffer.from(fingerprint, 'hex'),
    name: `device ${id}`,
    kind: 'node',
    platform: 'linux',
    role: 'device',
    state: 'active',
    createdAt,
    lastSeenAt: undefined,
    capabilities: [],
    hostNames: [],
    labels: [],
    cloneSeenAt: undefined,
    cloneReportedAt: undefined,
    certificateRevokedAt: undefined,
    recovery: undefined,
  };
}

function inserter<Row extends object>(database: DatabaseSync, table: string, like: Row): (row: Row) => void {
  const columns = Object.keys(like);
  const places = columns.map(() => '?');
  const statement = database.prepare(`INSERT INTO ${table} (${columns}) VALUES (${places})`);
  return (row) => void statement.run(...(Object.values(row) as SQLInputValue[]));
}
