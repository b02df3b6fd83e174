// Whether a guess at a code was right. The audit records the guess before the outcome is known. Later rows show the outcome.

export interface GuessRow {
  readonly action: string;
  readonly subject: string;
  /** As the daemon stored it. */
  readonly detailJson: string;
}

export type GuessOutcome = 'right' | 'wrong' | 'open';

/** Rows after which no guess at the code can still be confirmed. */
const ends: ReadonlySet<string> = new Set([
  'request.received',
  'code.exhausted',
  'code.expired',
  'code.withdrawn',
]);

/**
 * @param rows newest first, from the newest row on.
 * @returns for each row of a guess its outcome, `wrong` also if its device gave up; undefined for any other row.
 */
export function guessOutcomes(rows: readonly GuessRow[]): readonly (GuessOutcome | undefined)[] {
  const endOf = new Map<string, GuessRow>();
  return rows.map((row) => {
    // The first end after the minting comes last here. It is the end of the code.
    if (ends.has(row.action)) endOf.set(row.subject, row);
    if (row.action !== 'code.guessed') return undefined;
    const end = endOf.get(row.subject);
    if (!end) return 'open';
    const left = numberIn(row.detailJson, 'left');
    const isRight = end.action === 'request.received' && left === numberIn(end.detailJson, 'guesses_left');
    return left !== undefined && isRight ? 'right' : 'wrong';
  });
}

function numberIn(json: string, name: string): number | undefined {
  try {
    const detail: unknown = JSON.parse(json);
    const value =
      typeof detail === 'object' && detail ? Object.entries(detail).find(([key]) => key === name) : [];
    return typeof value?.[1] === 'number' ? value[1] : undefined;
  } catch {
    return undefined;
  }
}
