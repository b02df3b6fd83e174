// How SQL reaches a database: all that the reads and the transaction ask of one, whichever it is.

import type { Compilable, CompiledQuery } from 'kysely';

export interface Executor {
  all<Row>(query: CompiledQuery<Row>): Promise<Row[]>;
  /** Returns how many rows changed. */
  run(query: CompiledQuery): Promise<number>;
}

/** Where a value goes in a query that is compiled once. */
class Slot {
  readonly name: string;

  constructor(name: string) {
    this.name = name;
  }
}

/**
 * A query compiled at its first use, because compiling costs several times the execution.
 * @param build sees a slot for every value, so it must not decide by the values; and `values` must have the same keys in
 *   every call.
 */
export function prepared<Values extends object, Row>(
  build: (values: Values) => Compilable<Row>,
): (values: Values) => CompiledQuery<Row> {
  let compiled: CompiledQuery<Row> | undefined;
  return (values) => {
    compiled ??= build(slotsFor(values)).compile();
    const { query, queryId, sql } = compiled;
    const parameters = compiled.parameters.map((parameter) =>
      parameter instanceof Slot ? values[parameter.name as keyof Values] : parameter,
    );
    return { query, queryId, sql, parameters };
  };
}

function slotsFor<Values extends object>(values: Values): Values {
  return Object.fromEntries(Object.keys(values).map((name) => [name, new Slot(name)])) as Values;
}
