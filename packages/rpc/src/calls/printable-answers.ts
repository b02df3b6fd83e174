// Makes the texts in a peer's answers printable on arrival, so that code that shows them later cannot forget to. Every dialer
// uses this interceptor. Texts of other programs' services stay unchanged, because only the program knows what they may contain.

import type { Interceptor } from '@connectrpc/connect';
import { printable } from '@palyra/identity/portable';
import { isOurs } from '../access/reserved-names.ts';

const plain = /^[\x20-\x7e]*$/;

/** Turns every text in the answers of our services into one printable line. Leaves bytes unchanged. */
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

/** Changes the message in place, because nothing else uses it yet. */
function clean(value: object): void {
  const fields = value as Record<string, unknown>;
  for (const [name, field] of Object.entries(fields)) {
    if (typeof field === 'string') {
      if (!plain.test(field)) fields[name] = printable(field);
    } else if (typeof field === 'object' && field !== null && !ArrayBuffer.isView(field)) clean(field);
  }
}
