// The port to a database: everything that the reads and the transaction need from any database.

import type { Compilable, CompiledQuery } from 'kysely';

export interface Executor {
  all<Row>(query: CompiledQuery<Row>): Promise<Row[]>;
  /** Returns the number of changed rows. */
  run(query: CompiledQuery): Promise<number>;
}

/** The place of a value in a query that is compiled once. */
class Slot {
  readonly name: string;

  constructor(name: string) {
    this.name = name;
  }
}

/**
 * Compiles a query at its first use, because compiling takes several times as long as the execution.
 * @param build gets a slot for every value, so it cannot depend on the values. `values` must have the same keys in
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
