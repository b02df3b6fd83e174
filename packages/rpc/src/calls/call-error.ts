// The error of a call that ended with its stream or connection instead of an answer.

import { Code, ConnectError } from '@connectrpc/connect';
import { IdentityError } from '@palyra/identity/portable';
import { toConnectError } from '../error-map.ts';
import { StreamReset } from '../streams/close-code.ts';

/** `fromConnectError` of @palyra/rpc recovers our code from the result. */
export function toCallError(error: unknown): ConnectError {
  if (error instanceof StreamReset) {
    if (error.reason === 'CANCELLED')
      return new ConnectError(error.message, Code.Canceled, undefined, [], error);
    return toConnectError(new IdentityError(error.reason, error.message)).error;
  }
  if (error instanceof IdentityError) return toConnectError(error).error;
  return ConnectError.from(error, Code.Internal);
}
