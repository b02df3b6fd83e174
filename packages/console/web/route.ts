// The current page, from the URL: `#/devices/ID`. The server never sees this part.

import { signal } from '@preact/signals';

const read = (): readonly string[] => location.hash.replace(/^#\/?/, '').split('/').map(decodeURIComponent);

export const route = signal(read());

addEventListener('hashchange', () => {
  route.value = read();
  scrollTo(0, 0);
});
