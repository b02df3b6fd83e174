// The numbers for why a channel or a stream ended: those of docs/quic.md 2, without the base that separates them from QUIC's own.

import type { IdentityError, IdentityErrorCode } from '@palyra/identity/portable';
import { closeErrorOf, type ResetReason, resetReasonOf, toCloseNumber } from '@palyra/rpc/portable';

const base = 0x5041_0000;
/** The channel ended without an error. */
export const closedNormally = 0;
/** Codes from 4000 on are for private use (RFC 6455 7.4). */
const firstWebSocketCode = 4000;
const normalClosure = 1000;

export const numberOf = (code: IdentityErrorCode | 'CANCELLED'): number => toCloseNumber(code) - base;

export const resetReason = (number: number): ResetReason => resetReasonOf(base + number);

/** Undefined for a close without a reason. */
export function errorOf(number: number, reason: string): IdentityError | undefined {
  return number === closedNormally ? undefined : closeErrorOf(base + number, reason);
}

/** The close code of the WebSocket, for diagnosis from outside. Not authenticated, so no side relies on it. */
export function webSocketCode(error: IdentityError | undefined): number {
  return error ? firstWebSocketCode + numberOf(error.code) : normalClosure;
}

/** At most 123 bytes (RFC 6455 5.5). */
export function webSocketReason(error: IdentityError | undefined): string {
  return error?.code ?? '';
}
