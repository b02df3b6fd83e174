// Whether a registry is as its audit says.

import { hash } from 'node:crypto';
import { type AuditVerdict, verifyAuditChain } from '../audit.ts';
import type { Registry, RegistryReader } from './port.ts';

/** A registry as it is at one moment. */
export async function verifyAudit(registry: Registry | RegistryReader): Promise<AuditVerdict> {
  if (!('snapshot' in registry)) return verify(registry);
  const now = await registry.snapshot();
  try {
    return await verify(now);
  } finally {
    await now.close();
  }
}

async function verify(registry: RegistryReader): Promise<AuditVerdict> {
  const head = await registry.auditHead();
  const newest = (await registry.audit({ limit: 1 }))[0]?.seq ?? 0;
  if (newest > head.seq) {
    return { ok: false, rows: head.seq, brokenAt: newest, problem: `row ${newest} was added from outside` };
  }
  return verifyAuditChain(registry.auditRows(), head, (data) => hash('sha256', data));
}
