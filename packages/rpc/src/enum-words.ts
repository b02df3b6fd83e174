// A closed set of the protos: the words that programs use, and the enum value that stands for each on the wire.

export class WireWords<Word extends string, Value extends number> {
  /** In the order of the proto. */
  readonly words: readonly Word[];
  readonly #values: Readonly<Record<Word, Value>>;
  readonly #words: ReadonlyMap<Value, Word>;

  /** @param values every word, and the value that stands for it. */
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

/** The words are those of the table; the compiler finds a value that no other enum has. */
export const wireWords =
  <Value extends number>() =>
  <Word extends string>(values: Readonly<Record<Word, Value>>) =>
    new WireWords<Word, Value>(values);
