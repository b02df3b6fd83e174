// How messages of the admin service say what many of them say.

import { parseVisibleText } from '@palyra/identity/values';

const defaultPage = 100;
export const maxPage = 1000;
const maxReasonLength = 200;

export const pageSize = (limit: number): number => Math.min(limit > 0 ? limit : defaultPage, maxPage);
export const millis = (date: Date): bigint => BigInt(date.getTime());

/** The operator's words; shown to people later. */
export function parseReason(reason: string): string {
  return parseVisibleText('A reason', reason, maxReasonLength);
}
