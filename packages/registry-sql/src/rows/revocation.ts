// A revocation and its row.

import type { Revocation } from '@palyra/identity/registry';
import type { DeviceId } from '@palyra/identity/values';
import type { RevocationsTable } from '../tables.ts';
import { instant, milliseconds, optional, type Row, text } from './column.ts';

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
    deviceId: text(row, 'device_id') as DeviceId,
    serial: optional(text)(row, 'serial'),
    reason: text(row, 'reason'),
  };
}
