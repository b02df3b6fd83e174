// The headers of a call, with the meaning of https://fetch.spec.whatwg.org/#headers-class, without the client of `fetch` that
// Node's class loads. Iteration sees the headers as they were when it began.

const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const whitespaceAround = /^[\t\n\r ]+|[\t\n\r ]+$/g;

export class LightHeaders implements Headers {
  readonly #values = new Map<string, string[]>();

  constructor(init: ConstructorParameters<typeof Headers>[0] = {}) {
    if (typeof init !== 'object' || init === null)
      throw new TypeError('headers are a record, or a list of pairs');
    const pairs = Symbol.iterator in init ? init : Object.entries(init);
    for (const pair of pairs) {
      const [name, value, ...more] = pair;
      if (name === undefined || value === undefined || more.length > 0)
        throw new TypeError('a header is a pair of name and value');
      this.append(name, value);
    }
  }

  append(name: string, value: string): void {
    const key = keyOf(name);
    const given = bytesOf(value);
    const values = this.#values.get(key);
    if (values) values.push(given);
    else this.#values.set(key, [given]);
  }

  delete(name: string): void {
    this.#values.delete(keyOf(name));
  }

  get(name: string): string | null {
    const key = keyOf(name);
    return this.#values.get(key)?.join(separatorOf(key)) ?? null;
  }

  getSetCookie(): string[] {
    return [...(this.#values.get('set-cookie') ?? [])];
  }

  has(name: string): boolean {
    return this.#values.has(keyOf(name));
  }

  set(name: string, value: string): void {
    this.#values.set(keyOf(name), [bytesOf(value)]);
  }

  forEach(each: (value: string, name: string, parent: Headers) => void, self?: unknown): void {
    for (const [name, value] of this.#sorted()) each.call(self, value, name, this);
  }

  keys(): ReturnType<Headers['keys']> {
    return this.#sorted()
      .map(([name]) => name)
      .values();
  }

  values(): ReturnType<Headers['keys']> {
    return this.#sorted()
      .map(([, value]) => value)
      .values();
  }

  entries(): ReturnType<Headers['entries']> {
    return this.#sorted().values();
  }

  [Symbol.iterator](): ReturnType<Headers['entries']> {
    return this.entries();
  }

  get [Symbol.toStringTag](): string {
    return 'Headers';
  }

  #sorted(): [string, string][] {
    return [...this.#values.entries()]
      .sort(([one], [other]) => (one < other ? -1 : 1))
      .flatMap(([name, values]): [string, string][] =>
        name === 'set-cookie'
          ? values.map((value) => [name, value])
          : [[name, values.join(separatorOf(name))]],
      );
  }
}

const separatorOf = (name: string) => (name === 'cookie' ? '; ' : ', ');

function keyOf(name: string): string {
  if (!token.test(name)) throw new TypeError(`"${name}" cannot be the name of a header`);
  return name.toLowerCase();
}

function bytesOf(value: string): string {
  const bare = String(value).replace(whitespaceAround, '');
  if (/[\0\r\n]|[^\0-\xff]/.test(bare)) throw new TypeError('this cannot be the value of a header');
  return bare;
}
