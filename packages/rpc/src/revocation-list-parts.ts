// Joins the parts that `GetRevocationLists` returns.

import type { RevocationListPart } from './gen/palyra/admin/v1/admin_pb.js';

export interface CollectedList {
  readonly issuerId: string;
  readonly number: number;
  readonly nextUpdateMs: bigint;
  /** The parts in order; empty when the daemon has no list. */
  readonly der: readonly Uint8Array[];
  /** Why the list is outdated or missing; empty otherwise. */
  readonly failure: string;
}

export async function collectRevocationLists(
  parts: AsyncIterable<Omit<RevocationListPart, '$typeName'>>,
): Promise<CollectedList[]> {
  const lists = new Map<string, CollectedList & { readonly der: Uint8Array[] }>();
  for await (const { issuerId, number, nextUpdateMs, der, failure } of parts) {
    let list = lists.get(issuerId);
    if (!list) {
      list = { issuerId, number: Number(number), nextUpdateMs, der: [], failure };
      lists.set(issuerId, list);
    }
    if (der.length > 0) list.der.push(der);
  }
  return [...lists.values()];
}
