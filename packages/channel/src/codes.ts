// Why a channel or a stream ended: the numbers of docs/quic.md 2, here without the part that keeps them apart from QUIC's own.

import type { IdentityError, IdentityErrorCode } from '@palyra/identity/portable';
import { closeErrorOf, type ResetReason, resetReasonOf, toCloseNumber } from '@palyra/rpc/portable';

const base = 0x5041_0000;
/** Over, and nothing is wrong. */
export const closedNormally = 0;
/** RFC 6455 7.4: 4000 and more are for private use. */
const firstWebSocketCode = 4000;
const normalClosure = 1000;

export const numberOf = (code: IdentityErrorCode | 'CANCELLED'): number => toCloseNumber(code) - base;

export const resetReason = (number: number): ResetReason => resetReasonOf(base + number);

/** Undefined for a close without a reason. */
export function errorOf(number: number, reason: string): IdentityError | undefined {
  return number === closedNormally ? undefined : closeErrorOf(base + number, reason);
}

/** Of the WebSocket, for whoever looks at it from outside. Nobody believes it. */
export function webSocketCode(error: IdentityError | undefined): number {
  return error ? firstWebSocketCode + numberOf(error.code) : normalClosure;
}

/** At most 123 bytes (RFC 6455 5.5). */
export function webSocketReason(error: IdentityError | undefined): string {
  return error?.code ?? '';
}
