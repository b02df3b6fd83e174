// Converts a certificate authority of this daemon to a row, and back.

import type { AuthorityRecord } from '@palyra/identity/registry';
import type { AuthoritiesTable } from '../tables.ts';
import { bytes, id, instant, milliseconds, oneOf, type Row, text } from './column.ts';

const tier = oneOf<AuthorityRecord['tier']>({ root: 1, issuing: 1 });
export const authorityState = oneOf<AuthorityRecord['state']>({
  prepared: 1,
  active: 1,
  trusted: 1,
  retired: 1,
});

export function authorityRow(authority: AuthorityRecord): AuthoritiesTable {
  return {
    id: authority.id,
    tier: authority.tier,
    state: authority.state,
    serial: authority.serial,
    fingerprint: authority.fingerprint,
    not_before: milliseconds(authority.notBefore),
    not_after: milliseconds(authority.notAfter),
    der: authority.der,
  };
}

export function readAuthority(row: Row): AuthorityRecord {
  return {
    id: id(row, 'id'),
    tier: tier(row, 'tier'),
    state: authorityState(row, 'state'),
    serial: text(row, 'serial'),
    fingerprint: text(row, 'fingerprint'),
    notBefore: instant(row, 'not_before'),
    notAfter: instant(row, 'not_after'),
    der: bytes(row, 'der'),
  };
}
