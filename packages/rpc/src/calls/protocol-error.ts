import { IdentityError } from '@palyra/identity/portable';

export function invalid(what: string): IdentityError {
  return new IdentityError('MESSAGE_INVALID', `The peer broke the protocol: ${what}.`);
}
