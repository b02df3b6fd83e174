// What a peer answers, made printable where it comes in: whoever shows it later cannot forget to. Every dialer has it. Texts
// of services that are not ours are left as they are: only their program knows what may stand in them.

import type { Interceptor } from '@connectrpc/connect';
import { printable } from '@palyra/identity/portable';
import { isOurs } from '../access/access.ts';

const plain = /^[\x20-\x7e]*$/;

/** Every text of every answer of our services becomes one line that `printable` leaves as it is. Bytes stay bytes. */
export const printableAnswers: Interceptor = (next) => async (request) => {
  const response = await next(request);
  if (!isOurs(request.service.typeName)) return response;
  if (response.stream) return { ...response, message: each(response.message) };
  clean(response.message);
  return response;
};

async function* each<T extends object>(messages: AsyncIterable<T>): AsyncIterable<T> {
  for await (const message of messages) {
    clean(message);
    yield message;
  }
}

/** In place: a message is nobody else's yet. */
function clean(value: object): void {
  const fields = value as Record<string, unknown>;
  for (const [name, field] of Object.entries(fields)) {
    if (typeof field === 'string') {
      if (!plain.test(field)) fields[name] = printable(field);
    } else if (typeof field === 'object' && field !== null && !ArrayBuffer.isView(field)) clean(field);
  }
}
