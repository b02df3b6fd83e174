// Verifies the audit chain of a registry.

import { type Registry, verifyAuditChain } from '@palyra/identity/registry';
import { sha256Hex } from '../sha256.ts';

export async function verify(registry: Registry) {
  return verifyAuditChain(registry.auditRows(), await registry.auditHead(), sha256Hex);
}
