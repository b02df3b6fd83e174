// Converts a revocation to a row, and back.

import type { Revocation } from '@palyra/identity/registry';
import type { RevocationsTable } from '../tables.ts';
import { id, instant, milliseconds, optional, type Row, text } from './column.ts';

export function revocationRow(revocation: Revocation): RevocationsTable {
  return {
    at: milliseconds(revocation.at),
    device_id: revocation.deviceId,
    serial: revocation.serial ?? null,
    reason: revocation.reason,
  };
}

export function readRevocation(row: Row): Revocation {
  return {
    at: instant(row, 'at'),
    deviceId: id(row, 'device_id'),
    serial: optional(text)(row, 'serial'),
    reason: text(row, 'reason'),
  };
}
