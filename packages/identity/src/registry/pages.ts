// A registry's rows, page by page.

export const pageSize = 500;

export async function* pagesOf<K extends string, T extends Record<K, string>>(
  read: (after: string) => Promise<T[]>,
  key: K,
): AsyncIterable<T[]> {
  for (let after = ''; ; ) {
    const page = await read(after);
    yield page;
    const last = page.at(-1);
    if (!last || page.length < pageSize) return;
    after = last[key];
  }
}

/** The rows one by one. */
export async function* rowsOf<K extends string, T extends Record<K, string>>(
  read: (after: string) => Promise<T[]>,
  key: K,
): AsyncIterable<T> {
  for await (const page of pagesOf(read, key)) yield* page;
}
