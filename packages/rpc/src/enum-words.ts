// Maps one enum of the protos to the words that programs use.

export class WireWords<Word extends string, Value extends number> {
  /** In the order of the proto. */
  readonly words: readonly Word[];
  readonly #values: Readonly<Record<Word, Value>>;
  readonly #words: ReadonlyMap<Value, Word>;

  /** @param values every word, with its enum value on the wire. */
  constructor(values: Readonly<Record<Word, Value>>) {
    this.words = Object.keys(values) as Word[];
    this.#values = values;
    this.#words = new Map(this.words.map((word) => [values[word], word]));
  }

  has(word: string): word is Word {
    return Object.hasOwn(this.#values, word);
  }

  toWire(word: Word): Value {
    return this.#values[word];
  }

  /** Undefined for UNSPECIFIED, and for a value that this version does not know. */
  fromWire(value: Value): Word | undefined {
    return this.#words.get(value);
  }

  /** For people and for JSON output. */
  show(value: Value): Word | 'unknown' {
    return this.fromWire(value) ?? 'unknown';
  }
}

/** Infers the words from the table. The compiler rejects a value of another enum. */
export const wireWords =
  <Value extends number>() =>
  <Word extends string>(values: Readonly<Record<Word, Value>>) =>
    new WireWords<Word, Value>(values);
